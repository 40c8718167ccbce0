package decision

import (
	"strconv"
	"strings"
)

// The headers that a redriven record has beside those of the original, and beside
// HeaderRedrives. Both hold topic/partition/offset.
const (
	// HeaderRedrivenFrom is the dead letter that the record repeats.
	HeaderRedrivenFrom = "verdict-redriven-from"
	// HeaderRedrivenOrigin is the decision's first record, however often it was
	// redriven since.
	HeaderRedrivenOrigin = "verdict-redriven-origin"
)

// maxOrigin bounds an Origin as text: a topic's name has at most 249 characters.
const maxOrigin = 300

// ParseOrigin reads what Origin.String wrote.
func ParseOrigin(s string) (Origin, bool) {
	if len(s) > maxOrigin {
		return Origin{}, false
	}
	words := strings.Split(s, "/")
	if len(words) != 3 || words[0] == "" {
		return Origin{}, false
	}
	partition, err := strconv.ParseUint(words[1], 10, 31)
	offset, err2 := strconv.ParseUint(words[2], 10, 63)
	if err != nil || err2 != nil {
		return Origin{}, false
	}
	return Origin{Topic: words[0], Partition: int(partition), Offset: int64(offset)}, true
}

// RedrivenFrom is the dead letter that a record repeats; ok is false if it repeats
// none.
func RedrivenFrom(rec *Record) (from Origin, ok bool) {
	return originIn(rec.Headers, HeaderRedrivenFrom)
}

// RedrivenOrigin is the first record of a decision that was redriven; ok is false
// if rec is that itself.
func RedrivenOrigin(rec *Record) (first Origin, ok bool) {
	return originIn(rec.Headers, HeaderRedrivenOrigin)
}

func originIn(headers []Header, key string) (Origin, bool) {
	for _, h := range headers {
		if h.Key == key && len(h.Value) <= maxOrigin {
			return ParseOrigin(string(h.Value))
		}
	}
	return Origin{}, false
}

// Redriven is the record that goes back to where the dead letter at `from` came
// from: key, value and headers of the original as they were, and after them the
// redrive's own, in place of those of a redrive before.
func (d *DeadRecord) Redriven(from Origin) Record {
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
