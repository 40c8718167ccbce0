package decision

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Record is a Kafka record that was read or is to be published, free of any
// client's types. Key, Value and header values are never changed once a Record
// has been handed on, so that a dead letter can repeat them byte for byte.
type Record struct {
	Topic     string
	Partition int
	Offset    int64
	Key       []byte // nil: no key
	Value     []byte // nil: no value (a tombstone)
	Headers   []Header
	Time      time.Time // the record's timestamp; zero: it has none

	// Fault says why the record could not be read whole; empty: it was. A record that
	// stands for a batch that can't be read has nothing else but its place.
	Fault string
	// LeftOut is the size in bytes of a record whose Fault is that it is too large; 0 of a
	// batch.
	LeftOut int64
}

// Header is one header of a Record. Keys may repeat; their order is kept.
type Header struct {
	Key   string
	Value []byte
}

// Size returns the size of the record's key, value and headers, in bytes.
func (r *Record) Size() int {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// SentSize is Size without the headers that Verdict adds, so that what was read once can be
// read once more after a redrive.
func (r *Record) SentSize() int {
	n := r.Size()
	for _, h := range r.Headers {
		if strings.HasPrefix(h.Key, "verdict-") {
			n -= len(h.Key) + len(h.Value)
		}
	}
	return n
}

// Origin returns where the record was read.
func (r *Record) Origin() Position {
	return Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
}

// Position is a place in a topic: where a record was read.
type Position struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
	Offset    int64  `json:"offset"`
}

// String returns topic/partition/offset, the ID of a decision that has none.
func (p Position) String() string {
	return fmt.Sprintf("%s/%d/%d", p.Topic, p.Partition, p.Offset)
}

// maxPosition bounds a Position as text: a topic's name has at most 249 characters.
const maxPosition = 300

// ParsePosition reads what Position.String wrote.
func ParsePosition(s string) (Position, bool) {
	if len(s) > maxPosition {
		return Position{}, false
	}
	words := strings.Split(s, "/")
	if len(words) != 3 || words[0] == "" {
		return Position{}, false
	}
	partition, err := strconv.ParseUint(words[1], 10, 31)
	offset, err2 := strconv.ParseUint(words[2], 10, 63)
	if err != nil || err2 != nil {
		return Position{}, false
	}
	return Position{Topic: words[0], Partition: int(partition), Offset: int64(offset)}, true
}
