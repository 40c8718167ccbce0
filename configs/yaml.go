package configs

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile is how many bytes a configuration file may have: about twenty times the
// size of verdict.example.yaml.
const maxFile = 256 << 10

// wholeFile takes the place of the key in faults of the file as a whole.
const wholeFile = "configuration file"

// entry is a known key with the value that the file gives it.
type entry struct {
	key   Key
	given given
	from  string // file:line
}

// readYAML returns the keys in a file, in its order. It walks the document's nodes
// because decoding into maps would lose line numbers and duplicate keys.
func readYAML(file string, data []byte) ([]entry, Faults) {
	r := yamlReader{file: file, seen: make(map[string]int)}
	if len(data) > maxFile {
		r.fault(0, wholeFile, fmt.Sprintf("has more than %s", Bytes(maxFile)), "is it the right file?")
		return nil, r.faults
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil // empty, or only comments
	} else if err != nil {
		r.syntax(err)
		return nil, r.faults
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		r.fault(0, wholeFile, "has more than one YAML document", "keep one, and remove the --- line")
	}
	switch root := doc.Content[0]; {
	case root.Kind == yaml.MappingNode:
		r.section("", root)
	case !isNull(root):
		r.fault(root.Line, wholeFile, "does not contain keys", "see verdict.example.yaml")
	}
	return r.entries, r.faults
}

// yamlReader walks the nodes of one file.
type yamlReader struct {
	file    string
	entries []entry
	faults  Faults
	seen    map[string]int // key or section -> line where it was given first
}

func (r *yamlReader) at(line int) string {
	if line == 0 {
		return r.file
	}
	return r.file + ":" + strconv.Itoa(line)
}

func (r *yamlReader) fault(line int, key, wrong, want string) {
	r.faults = append(r.faults, &Fault{Key: key, Wrong: wrong, Want: want, From: r.at(line)})
}

// syntax reports an error of the YAML parser. Errors about aliases are reworded: they
// repeat the alias, and YAML takes an unquoted secret that begins with * for an
// alias.
func (r *yamlReader) syntax(err error) {
	what := strings.TrimPrefix(err.Error(), "yaml: ")
	if strings.Contains(what, "anchor") {
		what = "a value that begins with * or & must be in quotes"
	}
	r.fault(0, wholeFile, "is not valid YAML: "+what, "")
}

// section reads the keys of a mapping. prefix is the section's name and a dot, empty
// for the whole file.
func (r *yamlReader) section(prefix string, n *yaml.Node) {
	for pair := range slices.Chunk(n.Content, 2) {
		key, value := pair[0], pair[1]
		path := prefix + key.Value
		if key.Kind != yaml.ScalarNode {
			r.fault(key.Line, cmp.Or(strings.TrimSuffix(prefix, "."), wholeFile), "has a key that is not text", "")
			continue
		}
		if first, twice := r.seen[path]; twice {
			r.fault(key.Line, quoteKey(path), fmt.Sprintf("is given twice, first on line %d", first), "keep one")
			continue
		}
		r.seen[path] = key.Line
		if k, ok := byName[path]; ok {
			r.value(k, value)
			continue
		}
		switch known := slices.Contains(sections, path); {
		case known && value.Kind == yaml.MappingNode:
			r.section(path+".", value)
		case known && isNull(value): // all of its keys are commented out
		case known:
			r.fault(value.Line, path, "is a section", "write its keys below it, indented")
		case value.Kind == yaml.MappingNode:
			r.fault(key.Line, quoteKey(path), "is not a known section", "did you mean "+Nearest(path, sections)+"?")
		default:
			r.fault(key.Line, quoteKey(path), "is not a known key", "did you mean "+Nearest(path, names(Key.name))+"?")
		}
	}
}

// value reads the value of a known key: a scalar or a list of scalars.
func (r *yamlReader) value(k Key, n *yaml.Node) {
	e := entry{key: k, from: r.at(n.Line)}
	switch {
	case isNull(n):
		r.fault(n.Line, k.Name, "has no value", `remove the key to use its default, or write "" for an empty value`)
		return
	case n.Kind == yaml.ScalarNode:
		e.given.text = n.Value
	case n.Kind == yaml.SequenceNode:
		e.given.isList = true
		for _, member := range n.Content {
			if member.Kind != yaml.ScalarNode || isNull(member) {
				r.fault(member.Line, k.Name, "has an item that is not a plain value", "write each item as - value")
				return
			}
			e.given.list = append(e.given.list, member.Value)
		}
	case n.Kind == yaml.AliasNode:
		r.fault(n.Line, k.Name, "is a YAML alias", "write the value itself; quote one that begins with *")
		return
	default:
		r.fault(n.Line, k.Name, "has keys below it", "give it a value")
		return
	}
	r.entries = append(r.entries, e)
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }
