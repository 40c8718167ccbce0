package rows

import "verdict/internal/decision"

// decode decodes a row with these headers. It has no ID unless it has one of its
// own, or BatchID gave it one.
func (r *Row) decode(headers []decision.Header) (decision.Decision, error) {
	if r.Fault != "" {
		return r.Decode()
	}
	rec := r.Record("")
	rec.Headers = headers
	d, err := decision.Decode(&rec)
	if !d.OwnID {
		d.ID = ""
	}
	return d, err
}

// Row is one row of a file.
type Row struct {
	// Line is where the row begins, from 1, in the file without its compression.
	Line int
	// Number counts the rows, from 1, over all files.
	Number int64
	// Key is the Kafka key: the profile ID, in lower case if it is one, so that one
	// profile's decisions share a partition however their case; nil where the row
	// has none.
	Key []byte
	// Value is the row as it goes into the topic, broken or not: the JSON of a
	// line as it stands, or that of a CSV row's cells. It may be what is no decision.
	// Where Fault says that the row can't be taken apart it is Raw, unless that is
	// longer than MaxLine: then it is nil.
	Value []byte
	// Raw is the row as it stands in the file, without its line end; of a row longer
	// than MaxLine it is the beginning. Unlike Key and Value it is only good until
	// the next row is read.
	Raw []byte
	// Fault says why the row can't be taken apart; empty: it can.
	Fault string
}

// Record is the row as a record for this topic.
func (r *Row) Record(topic string) decision.Record {
	return decision.Record{Topic: topic, Key: r.Key, Value: r.Value}
}

// Decode is the row as the service will read it. An error is a *decision.Invalid.
// A decision without an ID of its own has none yet: it gets one in its topic.
func (r *Row) Decode() (decision.Decision, error) {
	if r.Fault != "" {
		return decision.Decision{}, &decision.Invalid{Faults: []decision.Fault{{Field: "value", Problem: r.Fault}}}
	}
	rec := r.Record("")
	d, err := decision.Decode(&rec)
	if !d.OwnID {
		d.ID = ""
	}
	return d, err
}
