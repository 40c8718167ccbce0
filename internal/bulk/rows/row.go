package rows

import (
	"errors"

	"verdict/internal/decision"
)

// Row is one row of a file, valid or not.
type Row struct {
	// Line is the line where the row begins in the uncompressed file, from 1; of a
	// workbook, the row of its sheet; of JSON that is not one object a line, the number
	// of the object.
	Line int
	// Number is the row's number over all files, from 1.
	Number int64
	// Key is the Kafka key: the row's profile ID, nil where it has none. A valid ID is
	// in lower case, so that a profile's decisions share a partition however the file
	// spells it.
	Key []byte
	// Value is the value to send: the line of JSON Lines, or the CSV cells as a JSON
	// object. It may not be a valid decision. Where Fault is set it is Raw, or nil for
	// a row longer than MaxLine.
	Value []byte
	// Raw is the row as it is in the file, without its line end; of a row longer than
	// MaxLine it is the beginning. Unlike Key and Value it is valid only until the next
	// row is read.
	Raw []byte
	// Fault says why the row can't be parsed; empty if it can.
	Fault string
	// Blank is set where all cells are empty. Such a row is no decision, and no fault.
	Blank bool

	reader *Reader // knows the columns; nil for JSON
}

// Record returns the row as a record for a topic.
func (r *Row) Record(topic string) decision.Record {
	return decision.Record{Topic: topic, Key: r.Key, Value: r.Value}
}

// Decode decodes the row as the service will. An error is a *decision.Invalid. The
// decision has no ID unless the row has one, since otherwise the service derives the
// ID from the record's place in its topic.
func (r *Row) Decode() (decision.Decision, error) { return r.decode(nil) }

// decode decodes the row as it is with these headers.
func (r *Row) decode(headers []decision.Header) (decision.Decision, error) {
	if r.Fault != "" {
		return decision.Decision{}, &decision.Invalid{Faults: []decision.Fault{{Field: "value", Problem: r.Fault}}}
	}
	rec := r.Record("")
	rec.Headers = headers
	d, err := decision.Decode(&rec)
	if !d.OwnID {
		d.ID = ""
	}
	if invalid, ok := errors.AsType[*decision.Invalid](err); ok {
		r.explain(invalid)
	}
	return d, err
}

// explain adds to each fault where its cell is, and replaces a fault of the encoding
// by one that says what to do.
func (r *Row) explain(invalid *decision.Invalid) {
	if bad := notUTF8(r.Value); bad != "" {
		invalid.Faults = []decision.Fault{{Field: "value", Problem: bad}}
		return
	}
	if r.reader == nil {
		return
	}
	for i, f := range invalid.Faults {
		invalid.Faults[i].Problem += r.reader.cellOf(f.Field, r.Line)
	}
}
