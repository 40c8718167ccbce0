package decision

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
)

// Redrives returns how often the record has been redriven, by its own headers. A value that
// is not a small number counts as 0, and so does one beside which the record does not name
// the dead letter that it repeats. Whether that letter went back only the ledger knows.
func Redrives(rec *Record) int {
	_, from := RedrivenFrom(rec)
	_, origin := RedrivenOrigin(rec)
	if !from || !origin {
		return 0
	}
	for _, h := range slices.Backward(rec.Headers) {
		if h.Key == HeaderRedrives {
			return smallNumber(string(h.Value))
		}
	}
	return 0
}

// smallNumber reads a number of redrives; anything else is 0.
func smallNumber(digits string) int {
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return 0
	}
	return int(n)
}

// RedrivenFrom returns the dead letter that a record says it repeats; ok is false if it
// names none.
func RedrivenFrom(rec *Record) (from Position, ok bool) {
	return positionIn(rec.Headers, HeaderRedrivenFrom)
}

// RedrivenOrigin returns what a record says is the first record of its decision, which was
// redriven; ok is false if it says nothing of that.
func RedrivenOrigin(rec *Record) (first Position, ok bool) {
	return positionIn(rec.Headers, HeaderRedrivenOrigin)
}

func positionIn(headers []Header, key string) (Position, bool) {
	for _, h := range headers {
		if h.Key == key && len(h.Value) <= maxPosition {
			return ParsePosition(string(h.Value))
		}
	}
	return Position{}, false
}

// EditedBy returns who changed the value of a record when it was redriven; empty: nobody
// did.
func EditedBy(rec *Record) string {
	if Redrives(rec) == 0 {
		return ""
	}
	for _, h := range slices.Backward(rec.Headers) {
		if h.Key == HeaderEditedBy {
			return OneLine(string(h.Value[:min(len(h.Value), 2*MaxTextSize)]), MaxTextSize)
		}
	}
	return ""
}

// Redriven returns the record that goes back to where the dead letter at `from` came from:
// the partition, key, value and headers of the original, and then the headers of this
// redrive, which replace those of an earlier one. The run that sends it is for the caller to
// add.
func (d *DeadRecord) Redriven(from Position) Record {
	first, ok := RedrivenOrigin(&d.Original)
	if !ok {
		first = d.Original.Origin()
	}
	headers := append(without(d.Original.Headers, HeaderRedrives, HeaderRedrivenFrom, HeaderRedrivenOrigin, HeaderRun),
		Header{Key: HeaderRedrives, Value: strconv.AppendInt(nil, int64(d.Redrives)+1, 10)},
		Header{Key: HeaderRedrivenFrom, Value: []byte(from.String())},
		Header{Key: HeaderRedrivenOrigin, Value: []byte(first.String())})
	return Record{Topic: d.Original.Topic, Partition: d.Original.Partition, Key: d.Original.Key, Value: d.Original.Value, Headers: headers}
}

// ForgetRedrives makes a dead letter the one of a record that was never redriven: it removes
// what the record says of that.
func (d *DeadRecord) ForgetRedrives() {
	d.Redrives = 0
	d.Original.Headers = without(d.Original.Headers, HeaderRedrives, HeaderRedrivenFrom, HeaderRedrivenOrigin, HeaderEditedBy, HeaderEdit)
}

// Edited replaces the value of a record that goes back, and says who did it by which patch.
func (r *Record) Edited(value []byte, by string, patch []byte) {
	sum := sha256.Sum256(patch)
	r.Value = value
	r.Headers = append(without(r.Headers, HeaderEditedBy, HeaderEdit),
		Header{Key: HeaderEditedBy, Value: []byte(OneLine(by, MaxTextSize))},
		Header{Key: HeaderEdit, Value: hex.AppendEncode(nil, sum[:])})
}

// without returns a copy of headers without those that have one of these keys.
func without(headers []Header, keys ...string) []Header {
	left := make([]Header, 0, len(headers)+6)
	for _, h := range headers {
		if !slices.Contains(keys, h.Key) {
			left = append(left, h)
		}
	}
	return left
}
