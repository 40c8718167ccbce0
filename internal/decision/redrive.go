package decision

import (
	"slices"
	"strconv"
)

// Redrives returns how often the record has been redriven, by its own header; a
// value that is not a small number counts as 0.
func Redrives(rec *Record) int {
	for _, h := range slices.Backward(rec.Headers) {
		if h.Key == HeaderRedrives {
			n, err := strconv.ParseUint(string(h.Value), 10, 16)
			if err != nil {
				return 0
			}
			return int(n)
		}
	}
	return 0
}

// RedrivenFrom returns the dead letter that a record repeats; ok is false if it
// repeats none.
func RedrivenFrom(rec *Record) (from Position, ok bool) {
	return positionIn(rec.Headers, HeaderRedrivenFrom)
}

// RedrivenOrigin returns the first record of a decision that was redriven; ok is
// false if rec is that record itself.
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

// Redriven returns the record that goes back to where the dead letter at `from`
// came from: the key, value and headers of the original, and then the headers of
// this redrive, which replace those of an earlier one.
func (d *DeadRecord) Redriven(from Position) Record {
	headers := make([]Header, 0, len(d.Original.Headers)+3)
	for _, h := range d.Original.Headers {
		if h.Key != HeaderRedrives && h.Key != HeaderRedrivenFrom && h.Key != HeaderRedrivenOrigin {
			headers = append(headers, h)
		}
	}
	first, ok := RedrivenOrigin(&d.Original)
	if !ok {
		first = d.Original.Origin()
	}
	headers = append(headers,
		Header{Key: HeaderRedrives, Value: strconv.AppendInt(nil, int64(d.Redrives)+1, 10)},
		Header{Key: HeaderRedrivenFrom, Value: []byte(from.String())},
		Header{Key: HeaderRedrivenOrigin, Value: []byte(first.String())})
	return Record{Topic: d.Original.Topic, Key: d.Original.Key, Value: d.Original.Value, Headers: headers}
}
