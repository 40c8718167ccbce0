package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"verdict/internal/decision"
)

// maxFaults bounds the faults that are reported of a file; further ones are likely
// to be of the same kind.
const maxFaults = 100

// Parse reads a policy file and reports everything that is wrong with it. It walks
// the document's nodes instead of decoding into structs, since only nodes have
// lines, repeated keys and unknown keys.
func Parse(file string, data []byte) (Set, []Fault) {
	p := parser{file: file}
	set := Set{ForgetAfter: defaultForgetAfter}
	root := p.document(data)
	if root == nil {
		return Set{}, p.faults
	}
	given := p.mapping(root, "", "policies", "forget_after")
	if n := given["forget_after"]; n != nil {
		set.ForgetAfter = p.forgetAfter(n)
	}
	if n := given["policies"]; n == nil {
		p.fault(root, "policies", "missing", "give a list of at least one policy")
	} else {
		set.policies = p.policyList(n)
	}
	if len(p.faults) > 0 {
		slices.SortStableFunc(p.faults, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
		return Set{}, p.faults[:min(len(p.faults), maxFaults)]
	}
	return set, nil
}

func (p *parser) policyList(n *yaml.Node) []policy {
	if n.Kind != yaml.SequenceNode {
		p.fault(n, "policies", "must be a list, "+describe(n), "write each policy as - match: …")
		return nil
	}
	if len(n.Content) == 0 || len(n.Content) > maxPolicies {
		p.fault(n, "policies", fmt.Sprintf("has %d policies", len(n.Content)), fmt.Sprintf("give 1 to %d", maxPolicies))
		return nil
	}
	all := make([]policy, len(n.Content))
	for i, member := range n.Content {
		key := fmt.Sprintf("policies[%d]", i)
		before := len(p.faults)
		all[i] = p.onePolicy(member, key)
		if len(p.faults) > before {
			all[i].taskType, all[i].alias = "\x00", "\x00" // so that it covers no other policy
			continue
		}
		if j := slices.IndexFunc(all[:i], func(q policy) bool { return q.covers(&all[i]) }); j >= 0 {
			p.fault(member, key, "is never reached", fmt.Sprintf("policies[%d] on line %d matches all of its tasks, and the first match wins; move it before that one", j, n.Content[j].Line))
		}
	}
	return all
}

func (p *parser) onePolicy(n *yaml.Node, key string) policy {
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
		pol.consecutive = p.flag(rule["consecutive"], key+".fail.consecutive")
	}
	if m := given["ignore"]; m != nil {
		pol.ignore = p.results(m, key+".ignore", lists)
	}
	pol.reopen = p.flag(given["reopen"], key+".reopen")
	if n.Kind == yaml.MappingNode && given["pass"] == nil && given["fail"] == nil {
		p.fault(n, key, "decides nothing", "give it pass, fail or both, such as pass: {on: [PASS]}")
	}
	return pol
}

// on returns the results on which a rule decides.
func (p *parser) on(at *yaml.Node, rule map[string]*yaml.Node, key string, lists map[decision.CheckResult]string) []decision.CheckResult {
	n := rule["on"]
	if n == nil {
		if at.Kind == yaml.MappingNode {
			p.fault(at, key+".on", "missing", "give the results that it applies to, such as [PASS]")
		}
		return nil
	}
	results := p.results(n, key+".on", lists)
	if slices.Contains(results, decision.CheckError) {
		p.fault(n, key+".on", "has ERROR", "an error of a check says nothing about the person and never decides; remove it")
	}
	return results
}

// results returns a list of check results. lists has the results of the lists
// before, which may not come again.
func (p *parser) results(n *yaml.Node, key string, lists map[decision.CheckResult]string) []decision.CheckResult {
	want := "give one or more of " + strings.Join(resultNames(), ", ")
	if n.Kind != yaml.SequenceNode {
		p.fault(n, key, "must be a list, "+describe(n), want)
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
			p.fault(member, key, show(member)+" is not a check's result", want)
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

// name returns the type or alias of a task.
func (p *parser) name(n *yaml.Node, key string) string {
	switch {
	case n == nil:
		return ""
	case n.Kind != yaml.ScalarNode:
		p.fault(n, key, "must be a string, "+describe(n), "")
	case !decision.ValidKey(n.Value):
		p.fault(n, key, "is "+show(n), fmt.Sprintf("want 1 to %d printable characters", decision.MaxKeyLength))
	}
	return n.Value
}

func (p *parser) times(n *yaml.Node, key string) int {
	if n == nil {
		return 1
	}
	times, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || times < 1 || times > maxTimes {
		p.fault(n, key, describe(n), fmt.Sprintf("want a whole number from 1 to %d", maxTimes))
	}
	return times
}

// forgetAfter reads days, or a duration in Go's syntax; 0 means never.
func (p *parser) forgetAfter(n *yaml.Node) time.Duration {
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
	if n.Kind != yaml.ScalarNode || err != nil || d != 0 && d < minForgetAfter {
		p.fault(n, "forget_after", describe(n), "want days or hours, such as 90d or 36h, at least 1h; 0 keeps counts forever")
	}
	return d
}
