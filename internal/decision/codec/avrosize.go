package codec

import (
	"encoding/binary"
	"strings"

	"github.com/twmb/avro"

	"verdict/internal/decision"
)

// maxAvroParts bounds what is decoded of one value. Where every record has a field that
// takes a byte, no value of an acceptable record has more parts.
const maxAvroParts = 2 * decision.MaxRecordSize

// avroTypes holds the named types of a schema by their full names.
type avroTypes map[string]*avro.SchemaNode

// add adds the types that are defined in a node.
func (t avroTypes) add(n *avro.SchemaNode) {
	if n.Name != "" {
		t[fullName(n.Namespace, n.Name)] = n
	}
	for i := range n.Fields {
		t.add(&n.Fields[i].Type)
	}
	for i := range n.Branches {
		t.add(&n.Branches[i])
	}
	for _, inner := range []*avro.SchemaNode{n.Items, n.Values} {
		if inner != nil {
			t.add(inner)
		}
	}
}

func fullName(namespace, name string) string {
	if namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

// walk counts the parts of a value before it is decoded: its records and what they hold,
// its arrays and maps and their items. Nulls and records of nothing take no byte, so a
// value of a small schema, each of whose types holds the previous one twice, can have
// millions. The walk ends where there are too many, or where the value does not fit.
func (t avroTypes) walk(root *avro.SchemaNode, value []byte) avroWalk {
	w := avroWalk{types: t, value: value, left: maxAvroParts}
	w.part(root, "")
	return w
}

// avroWalk is the state of a walk.
type avroWalk struct {
	types avroTypes
	value []byte // what follows
	left  int    // parts that may follow; negative: there are too many
	unfit bool   // the value does not fit its schema
}

func (w *avroWalk) over() bool { return w.left < 0 || w.unfit }

func (w *avroWalk) part(n *avro.SchemaNode, namespace string) {
	if w.left--; w.over() {
		return
	}
	switch n.Type {
	case "null":
	case "boolean":
		w.skip(1)
	case "int", "long", "enum":
		w.number()
	case "float":
		w.skip(4)
	case "double":
		w.skip(8)
	case "bytes", "string":
		w.skip(w.number())
	case "fixed":
		w.skip(int64(n.Size))
	case "union":
		if i := w.number(); i >= 0 && i < int64(len(n.Branches)) {
			w.part(&n.Branches[i], namespace)
		} else {
			w.unfit = true
		}
	case "array":
		w.items(n.Items, namespace, false)
	case "map":
		w.items(n.Values, namespace, true)
	case "record", "error":
		for i := range n.Fields {
			w.part(&n.Fields[i].Type, n.Namespace)
		}
	default: // the name of a type
		if named := w.types[fullName(namespace, n.Type)]; named != nil {
			w.part(named, namespace)
		} else {
			w.part(w.types[n.Type], namespace)
		}
	}
}

// items walks over the items of an array, or the keys and values of a map.
func (w *avroWalk) items(item *avro.SchemaNode, namespace string, keyed bool) {
	for !w.over() {
		count := w.number()
		if count < 0 {
			count = -count
			w.number() // the block's size
		}
		if count == 0 {
			return
		}
		for ; count > 0 && !w.over(); count-- {
			if keyed {
				w.skip(w.number())
			}
			w.part(item, namespace)
		}
	}
}

func (w *avroWalk) number() int64 {
	v, n := binary.Varint(w.value)
	if n <= 0 {
		w.unfit = true
		return 0
	}
	w.skip(int64(n))
	return v
}

func (w *avroWalk) skip(n int64) {
	if n < 0 || n > int64(len(w.value)) {
		w.unfit = true
		return
	}
	w.value = w.value[n:]
}
