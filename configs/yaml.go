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

// maxFile is how many bytes a configuration file may have: some twenty times
// the example with all its comments.
const maxFile = 256 << 10

// theFile stands for a key in faults of the file as a whole.
const theFile = "configuration file"

// entry is a known key as the file gives it.
type entry struct {
	key   Key
	given given
	from  string // file:line
}

// readYAML is the keys that a file gives, in its order. It walks the document's
// nodes instead of decoding into maps, since only nodes know lines and keys
// given twice.
func readYAML(file string, data []byte) ([]entry, Faults) {
	w := walker{file: file, seen: make(map[string]int)}
	if len(data) > maxFile {
		w.fault(0, theFile, fmt.Sprintf("has more than %s", Bytes(maxFile)), "is it the right file?")
		return nil, w.faults
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil // nothing but comments
	} else if err != nil {
		w.syntax(err)
		return nil, w.faults
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		w.fault(0, theFile, "has a second document", "keep one, without a line of ---")
	}
	switch root := doc.Content[0]; {
	case root.Kind == yaml.MappingNode:
		w.section("", root)
	case !isNull(root):
		w.fault(root.Line, theFile, "does not hold keys", "write it as in verdict.example.yaml")
	}
	return w.entries, w.faults
}

// walker goes through the nodes of one file.
type walker struct {
	file    string
	entries []entry
	faults  Faults
	seen    map[string]int // path -> line where it was given first
}

func (w *walker) at(line int) string {
	if line == 0 {
		return w.file
	}
	return w.file + ":" + strconv.Itoa(line)
}

func (w *walker) fault(line int, key, wrong, want string) {
	w.faults = append(w.faults, &Fault{Key: key, Wrong: wrong, Want: want, From: w.at(line)})
}

// syntax reports what the YAML parser says. It repeats the name of an alias
// that it does not know, and an unquoted secret that begins with * reads as one.
func (w *walker) syntax(err error) {
	what := strings.TrimPrefix(err.Error(), "yaml: ")
	if strings.Contains(what, "anchor") {
		what = "a value begins with * or & and is not in quotes"
	}
	w.fault(0, theFile, "is not YAML: "+what, "")
}

// section walks the keys of a mapping; prefix is its name and a dot, or empty.
// It goes no deeper than known sections do.
func (w *walker) section(prefix string, n *yaml.Node) {
	for pair := range slices.Chunk(n.Content, 2) {
		key, value := pair[0], pair[1]
		path := prefix + key.Value
		if key.Kind != yaml.ScalarNode {
			w.fault(key.Line, cmp.Or(strings.TrimSuffix(prefix, "."), theFile), "has a key that is not a text", "")
			continue
		}
		if first, twice := w.seen[path]; twice {
			w.fault(key.Line, plain(path), fmt.Sprintf("is given twice, first in line %d", first), "keep one")
			continue
		}
		w.seen[path] = key.Line
		if k, ok := byName[path]; ok {
			w.value(k, value)
			continue
		}
		switch known := slices.Contains(sections, path); {
		case known && value.Kind == yaml.MappingNode:
			w.section(path+".", value)
		case known && isNull(value): // all its keys are commented out
		case known:
			w.fault(value.Line, path, "is a section", "write its keys below it, indented")
		case value.Kind == yaml.MappingNode:
			w.fault(key.Line, plain(path), "is not a known section", "did you mean "+Nearest(path, sections)+"?")
		default:
			w.fault(key.Line, plain(path), "is not a known key", "did you mean "+Nearest(path, names(Key.name))+"?")
		}
	}
}

// value takes the value of a known key: a scalar, or a list of them.
func (w *walker) value(k Key, n *yaml.Node) {
	e := entry{key: k, from: w.at(n.Line)}
	switch {
	case isNull(n):
		w.fault(n.Line, k.Name, "has no value", `leave the key out for its default, or write "" for an empty one`)
		return
	case n.Kind == yaml.ScalarNode:
		e.given.text = n.Value
	case n.Kind == yaml.SequenceNode:
		e.given.isList = true
		for _, member := range n.Content {
			if member.Kind != yaml.ScalarNode || isNull(member) {
				w.fault(member.Line, k.Name, "has a member that is not a plain value", "write each as - value")
				return
			}
			e.given.list = append(e.given.list, member.Value)
		}
	case n.Kind == yaml.AliasNode:
		w.fault(n.Line, k.Name, "is a YAML alias", "write the value itself; quote one that begins with *")
		return
	default:
		w.fault(n.Line, k.Name, "has keys below it", "it takes a value")
		return
	}
	w.entries = append(w.entries, e)
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// plain is a given key as a fault may repeat it.
func plain(key string) string {
	if len(key) <= maxShown && strconv.Quote(key) == `"`+key+`"` && key != "" {
		return key
	}
	return shown(key)
}
