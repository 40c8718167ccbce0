package decision

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxRecordSize bounds the key, value and headers of a decision's record, in
// bytes together and without Verdict's own headers, so that a hostile record costs no more than its own dead letter.
const MaxRecordSize = 64 << 10

// Fault is one thing that is wrong with a record.
type Fault struct {
	Field   string // the decision's field, or "value" for the whole value
	Problem string
}

// Invalid lists everything that keeps a record from being a decision.
type Invalid struct {
	Faults []Fault
}

// Error names every fault: first the fields that are given twice, then the others
// in the order of Fields.
func (e *Invalid) Error() string {
	var b strings.Builder
	for i, f := range e.Faults {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(f.Field)
		b.WriteString(": ")
		b.WriteString(f.Problem)
	}
	return b.String()
}

// ObjectFault returns why value, which is in rec or was made from it, is not a
// JSON object, or "" if it is one. what names the object in the message, such as
// "a decision".
func ObjectFault(rec *Record, value []byte, what string) string {
	switch {
	case rec.Fault != "":
		return rec.Fault
	case rec.SentSize() > MaxRecordSize:
		return fmt.Sprintf("the record has %d bytes; the limit is %d", rec.SentSize(), MaxRecordSize)
	case len(bytes.TrimSpace(value)) == 0:
		return "empty; " + what + " is a JSON object"
	case !utf8.Valid(value):
		return "not valid UTF-8"
	case !json.Valid(value):
		var ignored json.RawMessage
		return fmt.Sprintf("not valid JSON: %v", json.Unmarshal(value, &ignored))
	case bytes.TrimSpace(value)[0] != '{':
		return "not a JSON object"
	}
	return ""
}
