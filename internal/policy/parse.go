package policy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"

	"verdict/internal/decision"
)

// Fault is one thing that is wrong with a policy file.
type Fault struct {
	File  string
	Line  int    // from 1; 0: the file as a whole
	Key   string // such as policies[0].fail.times, or empty
	Wrong string
	Want  string // what would be right; empty: the wrong says it
}

// Error is the fault in one line.
func (f Fault) Error() string {
	s := f.Place() + ": "
	if f.Key != "" {
		s += f.Key + ": "
	}
	s += f.Wrong
	if f.Want != "" {
		s += "; " + f.Want
	}
	return s
}

// Place is file:line.
func (f Fault) Place() string {
	if f.Line == 0 {
		return f.File
	}
	return f.File + ":" + strconv.Itoa(f.Line)
}

// maxFaults is how many faults of a file are told; the others are likely to be of
// the same kind.
const maxFaults = 100

// Parse reads a policy file, and names everything that is wrong with it. It walks
// the document's nodes instead of decoding into structs, since only nodes know
// lines, keys given twice and keys that nobody reads.
func Parse(file string, data []byte) (Set, []Fault) {
	p := parser{file: file}
	set := Set{ForgetAfter: DefaultForgetAfter}
	root := p.document(data)
	if root == nil {
		return Set{}, p.faults
	}
	given := p.mapping(root, "", "policies", "forget_after")
	if n := given["forget_after"]; n != nil {
		set.ForgetAfter = p.age(n)
	}
	if n := given["policies"]; n == nil {
		p.fault(root, "policies", "missing", "give a list of at least one policy")
	} else {
		set.policies = p.policies(n)
	}
	if len(p.faults) > 0 {
		slices.SortStableFunc(p.faults, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
		return Set{}, p.faults[:min(len(p.faults), maxFaults)]
	}
	return set, nil
}

type parser struct {
	file   string
	faults []Fault
}

func (p *parser) fault(at *yaml.Node, key, wrong, want string) {
	f := Fault{File: p.file, Key: key, Wrong: wrong, Want: want}
	if at != nil {
		f.Line = at.Line
	}
	p.faults = append(p.faults, f)
}

// document is the root of the one document, or nil where there is none.
func (p *parser) document(data []byte) *yaml.Node {
	if len(data) > MaxFile {
		p.fault(nil, "", fmt.Sprintf("has more than %d KiB", MaxFile>>10), "is it the right file?")
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		p.fault(nil, "", "is empty", "give policies")
		return nil
	} else if err != nil {
		p.syntax(err)
		return nil
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		p.fault(nil, "", "has a second document", "keep one, without a line of ---")
	}
	return doc.Content[0]
}

// syntax reports what the YAML parser says, with its line where it names one.
func (p *parser) syntax(err error) {
	f := Fault{File: p.file, Wrong: "is not YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")}
	if rest, ok := strings.CutPrefix(err.Error(), "yaml: line "); ok {
		if number, what, ok := strings.Cut(rest, ": "); ok {
			if line, err := strconv.Atoi(number); err == nil {
				f.Line, f.Wrong = line, "is not YAML: "+what
			}
		}
	}
	f.Wrong = decision.OneLine(f.Wrong, 200)
	p.faults = append(p.faults, f)
}

// mapping is the values of a mapping that has no other keys than known.
func (p *parser) mapping(n *yaml.Node, key string, known ...string) map[string]*yaml.Node {
	given := make(map[string]*yaml.Node)
	if n.Kind != yaml.MappingNode {
		p.fault(n, key, "must have keys, "+is(n), "it takes "+strings.Join(known, ", "))
		return given
	}
	for pair := range slices.Chunk(n.Content, 2) {
		name, value := pair[0], pair[1]
		path := strings.TrimPrefix(key+"."+name.Value, ".")
		switch first := given[name.Value]; {
		case name.Kind != yaml.ScalarNode || !slices.Contains(known, name.Value):
			p.fault(name, key, shown(name)+" is not a known key", "it takes "+strings.Join(known, ", "))
		case first != nil:
			p.fault(name, path, fmt.Sprintf("is given twice, first in line %d", first.Line), "keep one")
		case isNull(value):
			p.fault(value, path, "has no value", "leave the key out, or give it one")
			given[name.Value] = value
		default:
			given[name.Value] = value
		}
	}
	for name, value := range given {
		if isNull(value) {
			delete(given, name) // its fault is told
		}
	}
	return given
}

func (p *parser) policies(n *yaml.Node) []policy {
	if n.Kind != yaml.SequenceNode {
		p.fault(n, "policies", "must be a list, "+is(n), "write each policy as - match: …")
		return nil
	}
	if len(n.Content) == 0 || len(n.Content) > MaxPolicies {
		p.fault(n, "policies", fmt.Sprintf("has %d policies", len(n.Content)), fmt.Sprintf("give 1 to %d", MaxPolicies))
		return nil
	}
	all := make([]policy, len(n.Content))
	for i, member := range n.Content {
		key := fmt.Sprintf("policies[%d]", i)
		before := len(p.faults)
		all[i] = p.policy(member, key)
		if len(p.faults) > before {
			all[i].taskType, all[i].alias = "\x00", "\x00" // which covers nothing
			continue
		}
		if j := slices.IndexFunc(all[:i], func(q policy) bool { return q.covers(&all[i]) }); j >= 0 {
			p.fault(member, key, "is never reached", fmt.Sprintf("policies[%d] in line %d matches all of its tasks, and the first match wins; put it before that one", j, n.Content[j].Line))
		}
	}
	return all
}

func (p *parser) policy(n *yaml.Node, key string) policy {
	var pol policy
	given := p.mapping(n, key, "match", "pass", "fail", "ignore", "reopen")
	if m := given["match"]; m != nil {
		match := p.mapping(m, key+".match", "type", "alias")
		pol.taskType = p.name(match["type"], key+".match.type")
		pol.alias = p.name(match["alias"], key+".match.alias")
	}
	lists := make(map[decision.CheckResult]string) // the list that has a result
	if m := given["pass"]; m != nil {
		rule := p.mapping(m, key+".pass", "on")
		pol.pass = p.on(m, rule, key+".pass", lists)
	}
	if m := given["fail"]; m != nil {
		rule := p.mapping(m, key+".fail", "on", "times", "consecutive")
		pol.fail = p.on(m, rule, key+".fail", lists)
		pol.times = p.times(rule["times"], key+".fail.times")
		pol.consecutive = p.bool(rule["consecutive"], key+".fail.consecutive")
	}
	if m := given["ignore"]; m != nil {
		pol.ignore = p.results(m, key+".ignore", lists)
	}
	pol.reopen = p.bool(given["reopen"], key+".reopen")
	if n.Kind == yaml.MappingNode && given["pass"] == nil && given["fail"] == nil {
		p.fault(n, key, "decides nothing", "give it pass, fail or both, such as pass: {on: [PASS]}")
	}
	return pol
}

// on is the results on which a rule decides.
func (p *parser) on(at *yaml.Node, rule map[string]*yaml.Node, key string, lists map[decision.CheckResult]string) []decision.CheckResult {
	n := rule["on"]
	if n == nil {
		if at.Kind == yaml.MappingNode {
			p.fault(at, key+".on", "missing", "give the results that it is for, such as [PASS]")
		}
		return nil
	}
	results := p.results(n, key+".on", lists)
	if slices.Contains(results, decision.CheckError) {
		p.fault(n, key+".on", "has ERROR", "an error of a check says nothing about the person, and is never a pass or a fail; take it out")
	}
	return results
}

// results is a list of check results that no list before has.
func (p *parser) results(n *yaml.Node, key string, lists map[decision.CheckResult]string) []decision.CheckResult {
	want := "give " + strings.Join(texts(), ", ") + " or some of them"
	if n.Kind != yaml.SequenceNode {
		p.fault(n, key, "must be a list, "+is(n), want)
		return nil
	}
	if len(n.Content) == 0 {
		p.fault(n, key, "is empty", want)
	}
	var all []decision.CheckResult
	for _, member := range n.Content {
		r := decision.CheckResult(member.Value)
		before, twice := lists[r]
		switch {
		case member.Kind != yaml.ScalarNode || !slices.Contains(decision.CheckResults[:], r):
			p.fault(member, key, shown(member)+" is not a check's result", want)
		case twice && before == key:
			p.fault(member, key, fmt.Sprintf("has %s twice", r), "keep one")
		case twice:
			p.fault(member, key, fmt.Sprintf("has %s, which is in %s too", r, before), "a result means one thing; keep one")
		default:
			lists[r] = key
			all = append(all, r)
		}
	}
	return all
}

// texts is every check result as text.
func texts() []string {
	all := make([]string, len(decision.CheckResults))
	for i, r := range decision.CheckResults {
		all[i] = string(r)
	}
	return all
}

func (p *parser) name(n *yaml.Node, key string) string {
	switch {
	case n == nil:
		return ""
	case n.Kind != yaml.ScalarNode:
		p.fault(n, key, "must be a text, "+is(n), "")
	case !validName(n.Value):
		p.fault(n, key, "is "+shown(n), fmt.Sprintf("want 1 to %d printable characters", maxName))
	}
	return n.Value
}

func (p *parser) times(n *yaml.Node, key string) int {
	if n == nil {
		return 1
	}
	times, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || times < 1 || times > MaxTimes {
		p.fault(n, key, is(n), fmt.Sprintf("want a whole number from 1 to %d", MaxTimes))
	}
	return times
}

func (p *parser) bool(n *yaml.Node, key string) bool {
	if n == nil {
		return false
	}
	if n.Kind != yaml.ScalarNode || n.Value != "true" && n.Value != "false" {
		p.fault(n, key, is(n), "want true or false")
	}
	return n.Value == "true"
}

// age is forget_after: days, or a duration as Go writes it; 0 is for ever.
func (p *parser) age(n *yaml.Node) time.Duration {
	var d time.Duration
	var err error
	if days, ok := strings.CutSuffix(n.Value, "d"); ok {
		var count int
		count, err = strconv.Atoi(days)
		d = time.Duration(count) * 24 * time.Hour
		if count > 36500 {
			err = strconv.ErrRange
		}
	} else {
		d, err = time.ParseDuration(n.Value)
	}
	if n.Kind != yaml.ScalarNode || err != nil || d != 0 && d < MinForgetAfter {
		p.fault(n, "forget_after", is(n), "want days or hours, such as 90d or 36h, at least 1h; 0 to forget nothing")
	}
	return d
}

// is says what a node is, for a message.
func is(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "has keys below it"
	case yaml.SequenceNode:
		return "is a list"
	case yaml.AliasNode:
		return "is a YAML alias"
	}
	if isNull(n) {
		return "has no value"
	}
	return "is " + shown(n)
}

// shown is a scalar as a message may repeat it.
func shown(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode {
		return "what " + is(n)
	}
	return strconv.Quote(decision.OneLine(n.Value, 48))
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// maxName bounds the type and the alias of a task, in characters.
const maxName = decision.MaxKeyLength

// validName says whether s can be a task's type or alias.
func validName(s string) bool {
	n := 0
	for _, r := range s {
		n++
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return false
		}
	}
	return n >= 1 && n <= maxName
}
