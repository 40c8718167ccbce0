package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"verdict/internal/decision"
)

// parser collects the faults of a policy file.
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

// document returns the root of the file's only document, or nil if there is none.
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
		p.fault(nil, "", "has a second document", "keep one, without a --- line")
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

// mapping returns the values of a mapping, which may have the known keys alone.
func (p *parser) mapping(n *yaml.Node, key string, known ...string) map[string]*yaml.Node {
	given := make(map[string]*yaml.Node)
	if n.Kind != yaml.MappingNode {
		p.fault(n, key, "must have keys, "+describe(n), "it takes "+strings.Join(known, ", "))
		return given
	}
	for pair := range slices.Chunk(n.Content, 2) {
		name, value := pair[0], pair[1]
		path := strings.TrimPrefix(key+"."+name.Value, ".")
		switch first := given[name.Value]; {
		case name.Kind != yaml.ScalarNode || !slices.Contains(known, name.Value):
			p.fault(name, key, show(name)+" is not a known key", "it takes "+strings.Join(known, ", "))
		case first != nil:
			p.fault(name, path, fmt.Sprintf("is given twice, first on line %d", first.Line), "keep one")
		case isNull(value):
			p.fault(value, path, "has no value", "leave the key out, or give it one")
			given[name.Value] = value
		default:
			given[name.Value] = value
		}
	}
	for name, value := range given {
		if isNull(value) {
			delete(given, name) // its fault is reported
		}
	}
	return given
}

func (p *parser) flag(n *yaml.Node, key string) bool {
	if n == nil {
		return false
	}
	if n.Kind != yaml.ScalarNode || n.Value != "true" && n.Value != "false" {
		p.fault(n, key, describe(n), "want true or false")
	}
	return n.Value == "true"
}

// describe says for a message what a node is.
func describe(n *yaml.Node) string {
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
	return "is " + show(n)
}

// show returns a scalar for a message: quoted and of bounded length.
func show(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode {
		return "what " + describe(n)
	}
	return strconv.Quote(decision.OneLine(n.Value, 48))
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }
