// Package recordset reads record sets: what a Kafka fetch answers for a partition, as it is
// on the wire, in the formats v0, v1 and v2 and with every compression. It is pure, and
// believes nothing: whoever may produce to a topic can write any bytes into a batch, and
// the broker stores them unseen.
//
// Its invariants:
//
//   - Memory is bounded by MaxRecord, by maxWindow and by a batch as it is on the wire,
//     whatever the batch unpacks to: it is unpacked as a stream, one record at a time.
//   - No input makes it panic, or read without end: each step consumes bytes that are
//     there.
//   - A batch that can't be read is one Bad with its offsets; the batches around it are
//     read.
//   - The offset after a set is always beyond the one that was asked for, if the set has a
//     whole batch.
//
// The formats are described at https://kafka.apache.org/documentation/#messageformat, and
// the older ones at https://kafka.apache.org/0100/documentation.html#messageset.
package recordset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"
)

// Record is one record, in memory of its own.
type Record struct {
	Offset  int64
	Time    time.Time // of its creation, or of its storage where the topic says so; zero: unknown
	Key     []byte    // nil: it has none
	Value   []byte    // nil: it has none
	Headers []Header
	// Size is the length of the record in bytes, as it was unpacked. If it is more than
	// MaxRecord, Value and what else does not fit was left out.
	Size int64
}

// Header is a header of a record.
type Header struct {
	Key   string
	Value []byte // nil: it has none
}

// Bad is a batch, or the rest of one, that could not be read.
type Bad struct {
	First, Last int64 // its offsets, by its header
	Err         error
}

// Aborted is a transaction that was aborted: the records of the producer from First on,
// up to its next marker.
type Aborted struct {
	ProducerID int64
	First      int64
}

// MaxRecord is the size in bytes up to which a record is delivered whole.
const MaxRecord = 1 << 20

// Handler takes what a set holds, in the order of its offsets. An error of a function ends
// Read, which returns it.
type Handler struct {
	Record func(Record) error
	Bad    func(Bad) error
}

// ErrFraming reports a set in which the end of a batch can't be found, so that nothing
// behind it can be read.
var ErrFraming = errors.New("the length of a batch is impossible")

// Read reads a set. Records before from, which may come along in the first batch, are left
// out, and so are the records of aborted transactions and the markers of transactions.
// next is the offset after the last whole batch; from if there is none. A batch that is
// cut off at the end of the set is left for the next fetch.
func Read(set []byte, from int64, aborted []Aborted, h Handler) (next int64, err error) {
	r := reader{from: from, next: from, aborted: slices.SortedFunc(slices.Values(aborted), func(a, b Aborted) int {
		return int(min(max(a.First-b.First, -1), 1))
	}), open: make(map[int64]struct{}), handler: h}
	passed := false // a whole batch
	for len(set) >= frameSize {
		length := int64(int32(binary.BigEndian.Uint32(set[8:])))
		if length < minLength {
			return r.next, fmt.Errorf("%w: %d bytes at offset %d", ErrFraming, length, int64(binary.BigEndian.Uint64(set)))
		}
		if length > int64(len(set)-frameSize) {
			break
		}
		passed = true
		batch := set[:frameSize+length]
		set = set[len(batch):]
		if err := r.batch(batch); err != nil {
			return r.next, err
		}
	}
	if passed && r.next == from {
		r.next++ // its batch has no record from it on
	}
	return r.next, nil
}

// Parts of a batch in bytes. A message of the formats v0 and v1 begins in the same way:
// with an offset, a length, and a version in byte 16.
const (
	frameSize = 8 + 4         // offset and length
	minLength = 4 + 1 + 1 + 4 // of the rest, up to the version and a little beyond
	headSize  = 61            // of a batch of v2
	versionAt = 16
)

// reader reads one set.
type reader struct {
	from, next int64
	aborted    []Aborted          // not begun yet, in the order of their first offsets
	open       map[int64]struct{} // producers whose transaction at this place was aborted
	handler    Handler
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (r *reader) batch(b []byte) error {
	if version := b[versionAt]; version < 2 {
		return r.message(b)
	} else if version > 2 {
		first := int64(binary.BigEndian.Uint64(b))
		return r.bad(first, first, fmt.Errorf("its format v%d is not known", version))
	}
	first := int64(binary.BigEndian.Uint64(b))
	if len(b) < headSize {
		return r.bad(first, first, fmt.Errorf("it has %d bytes, fewer than its header", len(b)))
	}
	h := header{
		first:      first,
		attributes: binary.BigEndian.Uint16(b[21:]),
		last:       first + int64(int32(binary.BigEndian.Uint32(b[23:]))),
		firstTime:  int64(binary.BigEndian.Uint64(b[27:])),
		maxTime:    int64(binary.BigEndian.Uint64(b[35:])),
		producer:   int64(binary.BigEndian.Uint64(b[43:])),
		records:    int32(binary.BigEndian.Uint32(b[57:])),
	}
	if first < 0 || h.last < first {
		return r.bad(first, first, fmt.Errorf("it ends at offset %d, before its beginning", h.last))
	}
	if crc32.Checksum(b[21:], castagnoli) != binary.BigEndian.Uint32(b[17:]) {
		return r.bad(first, h.last, ErrChecksum)
	}
	if r.leaveOut(&h) || h.last < r.from {
		r.next = max(r.next, h.last+1)
		return nil
	}
	return r.records(&h, b[headSize:])
}

// ErrChecksum reports a batch that is not what was stored.
var ErrChecksum = errors.New("its checksum is wrong")

// header is the header of a batch of v2, its checksum aside.
type header struct {
	first, last        int64
	attributes         uint16
	firstTime, maxTime int64 // in milliseconds
	producer           int64
	records            int32
}

// Bits of the attributes of a batch or a message.
const (
	compressionBits = 0b111
	logAppendBit    = 1 << 3
	transactionBit  = 1 << 4
	controlBit      = 1 << 5
)

// leaveOut follows the aborted transactions, and reports whether a batch is one of them,
// or the marker of a transaction.
func (r *reader) leaveOut(h *header) bool {
	for len(r.aborted) > 0 && r.aborted[0].First <= h.last {
		r.open[r.aborted[0].ProducerID] = struct{}{}
		r.aborted = r.aborted[1:]
	}
	if h.attributes&controlBit != 0 {
		delete(r.open, h.producer) // a commit's producer is not in it
		return true
	}
	_, aborted := r.open[h.producer]
	return aborted && h.attributes&transactionBit != 0
}

// bad reports a batch that can't be read, unless all of it is before what was asked for.
func (r *reader) bad(first, last int64, err error) error {
	first = max(first, r.next)
	if last < first {
		return nil
	}
	r.next = last + 1
	return r.handler.Bad(Bad{First: first, Last: last, Err: err})
}

// deliver passes a record on, if it was asked for and follows what was delivered.
func (r *reader) deliver(rec Record) error {
	if rec.Offset < r.next {
		return nil
	}
	r.next = rec.Offset + 1
	return r.handler.Record(rec)
}

// timeOf returns the time of so many milliseconds. Zero and less is no time that a record
// was made at: producers send it for "none".
func timeOf(ms int64) time.Time {
	if ms <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
