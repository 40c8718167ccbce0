package remembered

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/FastFilter/xorfilter"
)

// MaxRows is the number of rows in one Filter at most.
const MaxRows = 750_000

// MaxEncoded bounds an encoded Filter in bytes, so that it fits into a record of the size
// that Kafka accepts by default.
const MaxEncoded = 900_000

// Chance is the probability that a Filter takes another row for one of its own.
const Chance = 1.0 / 256

// Filter knows some rows of a batch. It is not changed once it is made, so any number of
// goroutines may use it.
type Filter struct {
	rows int // different ones that were put into it
	fuse xorfilter.BinaryFuse8
}

// newFilter returns a Filter of these rows, which it sorts and compacts.
func newFilter(rows []uint64) (*Filter, error) {
	slices.Sort(rows)
	rows = slices.Compact(rows)
	fuse, err := xorfilter.PopulateBinaryFuse8(rows)
	if err != nil {
		return nil, fmt.Errorf("make a filter of %d rows: %w", len(rows), err)
	}
	f := &Filter{rows: len(rows), fuse: *fuse}
	// A row that is not found would be sent again without a word. It takes a hundredth of
	// the time to make sure.
	for _, row := range rows {
		if !f.Has(Row(row)) {
			return nil, fmt.Errorf("a filter of %d rows does not know all of them", len(rows))
		}
	}
	return f, nil
}

// Rows returns the number of different rows in the Filter.
func (f *Filter) Rows() int { return f.rows }

// Has reports whether a row is in the Filter, or by Chance looks as if it were.
func (f *Filter) Has(r Row) bool { return f.fuse.Contains(uint64(r)) }

const (
	// encodedAs begins an encoded Filter.
	encodedAs = "verdict rows 1\n"
	// headSize is the size of what precedes the fingerprints: encodedAs, the number of
	// rows, the seed, and number and length of the segments.
	headSize = len(encodedAs) + 4 + 8 + 4 + 4
	// maxSegment bounds the length of a segment.
	maxSegment = 1 << 18
)

// Encode returns the Filter as the value of a record.
func (f *Filter) Encode() []byte {
	b := make([]byte, 0, headSize+len(f.fuse.Fingerprints))
	b = append(b, encodedAs...)
	b = binary.BigEndian.AppendUint32(b, uint32(f.rows))
	b = binary.BigEndian.AppendUint64(b, f.fuse.Seed)
	b = binary.BigEndian.AppendUint32(b, f.fuse.SegmentCount)
	b = binary.BigEndian.AppendUint32(b, f.fuse.SegmentLength)
	return append(b, f.fuse.Fingerprints...)
}

// Decode reads an encoded Filter, whoever wrote it: asking what it returns can't fail. It
// takes parts of value, which must not change.
func Decode(value []byte) (*Filter, error) {
	rest, ok := bytes.CutPrefix(value, []byte(encodedAs))
	switch {
	case len(value) > MaxEncoded:
		return nil, fmt.Errorf("the fingerprint of rows has %d bytes, more than %d", len(value), MaxEncoded)
	case !ok || len(value) < headSize:
		return nil, errors.New("it is no fingerprint of rows, or one of another version")
	}
	f := &Filter{rows: int(binary.BigEndian.Uint32(rest))}
	f.fuse.Seed = binary.BigEndian.Uint64(rest[4:])
	count, length := binary.BigEndian.Uint32(rest[12:]), binary.BigEndian.Uint32(rest[16:])
	f.fuse.Fingerprints = rest[20:]
	// The filter looks into three segments in a row, of which the first is one of count.
	switch size := uint64(count) + 2; {
	case f.rows < 1 || f.rows > MaxRows:
		return nil, fmt.Errorf("the fingerprint of rows says that it has %d rows, not 1 to %d", f.rows, MaxRows)
	case length == 0 || length&(length-1) != 0 || length > maxSegment || count == 0 || size*uint64(length) != uint64(len(f.fuse.Fingerprints)):
		return nil, fmt.Errorf("the fingerprint of rows says that it has %d segments of %d bytes, and has %d bytes", size, length, len(f.fuse.Fingerprints))
	}
	f.fuse.SegmentCount, f.fuse.SegmentLength = count, length
	f.fuse.SegmentLengthMask, f.fuse.SegmentCountLength = length-1, count*length
	return f, nil
}
