package codec

import (
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

	"verdict/internal/decision"
)

// object is a JSON object in the making.
type object []byte

func (o *object) add(name string, value []byte) {
	sep := byte(',')
	if len(*o) == 0 {
		sep = '{'
	}
	*o = append(*o, sep)
	*o = append(*o, text(name)...)
	*o = append(*o, ':')
	*o = append(*o, value...)
}

func (o *object) done() []byte {
	if len(*o) == 0 {
		return []byte("{}")
	}
	return append(*o, '}')
}

// isTaskField says whether a field is one of those by which a task is named. Of any
// other in the field task its name alone is passed on, for package decision to say
// that it does not know it: it may be meant to narrow down which task it is.
func isTaskField(name string) bool { return name == "alias" || name == "type" }

// isField says whether a value's field is one of a decision's. The others are left
// out: they count for nothing, and could be large.
func isField(name string) bool { return slices.Contains(decision.Fields[:], name) }

// text is a JSON string.
func text(s string) []byte {
	if !utf8.ValidString(s) {
		return strange("invalid_utf8", len(s))
	}
	b, err := json.Marshal(s)
	if err != nil {
		return strange("text", len(s)) // a string always encodes
	}
	return b
}

// strange stands for a value that no field of a decision can have; package
// decision then says of the field that it must be something else, and is this.
func strange(kind string, size int) []byte { return fmt.Appendf(nil, `{%q:%d}`, kind, size) }
