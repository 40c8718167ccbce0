package codec

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// object builds a JSON object.
type object []byte

func (o *object) add(name string, value []byte) {
	sep := byte(',')
	if len(*o) == 0 {
		sep = '{'
	}
	*o = append(*o, sep)
	*o = append(*o, jsonString(name)...)
	*o = append(*o, ':')
	*o = append(*o, value...)
}

func (o *object) bytes() []byte {
	if len(*o) == 0 {
		return []byte("{}")
	}
	return append(*o, '}')
}

// isTaskField reports whether a field names a task. Of any other field in task only
// its name is passed on, so that package decision refuses it: it may be meant to
// narrow down which task it is.
func isTaskField(name string) bool { return name == "alias" || name == "type" }

// jsonString returns s as a JSON string.
func jsonString(s string) []byte {
	if !utf8.ValidString(s) {
		return placeholder("invalid_utf8", len(s))
	}
	b, err := json.Marshal(s)
	if err != nil {
		return placeholder("text", len(s)) // a string always encodes
	}
	return b
}

// placeholder returns an object in place of a value that no field of a decision can
// have; package decision then refuses the field and shows the object.
func placeholder(kind string, size int) []byte { return fmt.Appendf(nil, `{%q:%d}`, kind, size) }

func uuid(v [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", v[:4], v[4:6], v[6:8], v[8:10], v[10:])
}
