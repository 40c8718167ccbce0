package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/broker/recordset"
	"verdict/internal/decision"
)

const (
	// fetchBytes bounds the records of one fetch as they are on the wire, in
	// bytes. One batch comes whole, however large it is.
	fetchBytes = 1 << 20
	// fetchWait is how long a broker holds a fetch for which it has nothing.
	fetchWait = 500 * time.Millisecond
)

// FetchRequest asks for the next records of a partition.
type FetchRequest struct {
	Topic     string
	Partition int
	Offset    int64
	// MaxBytes bounds what comes, as it is on the wire; a batch comes whole all the same.
	// 0: 1 MiB.
	MaxBytes int

	rack string // whose replica the leader may name instead of itself; empty: none
}

// Fetched is what a fetch brought. Read must be called once.
type Fetched struct {
	// End is the offset that the next record of the partition will have, committed or not.
	// The broker notes it before it reads, so records beyond it may come along.
	End int64
	// Stable is the offset up to which transactions have ended, at most End.
	Stable int64

	request FetchRequest
	answer  *fetchAnswer
}

// Fetch asks for the next records of a partition, for which it waits half a second. It
// makes one try.
func (c *Connection) Fetch(ctx context.Context, r FetchRequest) (*Fetched, error) {
	answer, err := c.fetches.fetch(ctx, &r)
	if err != nil {
		return nil, fmt.Errorf("read %s/%d at %d: %w%s", r.Topic, r.Partition, r.Offset, err, hint(err))
	}
	f := &Fetched{End: answer.end, Stable: answer.end, request: r, answer: answer}
	if answer.stable >= 0 {
		f.Stable = min(answer.stable, answer.end)
	}
	return f, nil
}

// Read passes each record on, in memory of its own, which may be kept. A record that could
// not be read whole has a Fault. Records of aborted transactions are left out. An error of
// each ends it and is returned as it is. next is the offset to go on from: beyond the last
// record where no record follows it, because of markers, aborted transactions or compaction.
func (f *Fetched) Read(each func(rec decision.Record) error) (next int64, err error) {
	defer f.answer.release()
	r := &f.request
	next, err = recordset.Read(f.answer.set, r.Offset, f.answer.aborted, recordset.Handler{
		Record: func(rec recordset.Record) error { return each(newRecord(r, &rec)) },
		Bad:    func(b recordset.Bad) error { return each(badBatch(r, b)) },
	})
	if errors.Is(err, recordset.ErrFraming) {
		err = fmt.Errorf("read %s/%d at %d: %w", r.Topic, r.Partition, next, err)
	}
	return next, err
}

// newRecord returns a record without the types of its format.
func newRecord(r *FetchRequest, from *recordset.Record) decision.Record {
	rec := decision.Record{Topic: r.Topic, Partition: r.Partition, Offset: from.Offset, Key: from.Key, Value: from.Value, Time: from.Time}
	if from.Size > recordset.MaxRecord {
		rec.Fault = fmt.Sprintf("the record has %d bytes; the limit is %d. Its value was left out", from.Size, decision.MaxRecordSize)
		rec.LeftOut = from.Size
	}
	if len(from.Headers) > 0 {
		rec.Headers = make([]decision.Header, len(from.Headers))
		for i, h := range from.Headers {
			rec.Headers[i] = decision.Header(h)
		}
	}
	return rec
}

// badBatch returns the record that stands for a batch that can't be read.
func badBatch(r *FetchRequest, b recordset.Bad) decision.Record {
	return decision.Record{
		Topic: r.Topic, Partition: r.Partition, Offset: b.First,
		Fault: fmt.Sprintf("the batch at offsets %d to %d (%d) can't be read: %v", b.First, b.Last, b.Last-b.First+1, b.Err),
	}
}

// fetch reads the next records of the partition and moves on past them.
func (p *partitionScan) fetch(ctx context.Context) (records []decision.Record, err error) {
	f, err := p.connection.Fetch(ctx, FetchRequest{Topic: p.topic, Partition: p.partition, Offset: p.next})
	if errors.Is(err, kafka.OffsetOutOfRange) {
		return nil, p.skipDeleted(ctx)
	}
	if err != nil {
		return nil, err
	}
	next, err := f.Read(func(rec decision.Record) error {
		if p.follow || rec.Offset < p.end {
			records = append(records, rec)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if next == p.next {
		// Either this is the end, or all records up to it are compacted away, or a
		// new leader does not know yet what it may return. Only in the second case
		// is the next answer the same.
		if p.empty {
			next = max(p.next, f.Stable)
		}
		p.empty = !p.empty && p.next < f.Stable
	} else {
		p.empty = false
	}
	p.next = next
	return records, nil
}

// skipDeleted moves on to the oldest record that retention has left. If instead
// the partition ends before an offset that was already read, it was created again
// or lost records, which is an error.
func (p *partitionScan) skipDeleted(ctx context.Context) error {
	first, err := p.connection.Deleted(ctx, p.topic, p.partition, p.next)
	p.next = first
	return err
}

// Deleted returns the offset of the oldest record that retention has left of a partition,
// for a fetch that failed with kafka.OffsetOutOfRange. If instead the partition ends before
// the offset of that fetch, its topic was created again or lost records, which is an error.
func (c *Connection) Deleted(ctx context.Context, topic string, partition int, offset int64) (first int64, err error) {
	bounds, err := c.bounds(ctx, topic)
	if err != nil {
		return offset, err
	}
	if first := bounds[partition].First; offset < first {
		return first, nil
	}
	return offset, fmt.Errorf("read %s/%d at %d: %w: it ends at %d; was the topic deleted and created again?",
		topic, partition, offset, kafka.OffsetOutOfRange, bounds[partition].End)
}

// maxAnswer bounds an answer to a fetch in bytes: far more than a batch that any cluster
// accepts, and less than what would take the process down.
const maxAnswer = 128 << 20

var errAnswer = errors.New("the broker's answer is not one to a fetch")

// answerReader reads the parts of an answer.
type answerReader struct {
	b   []byte
	bad bool
}

func (a *answerReader) take(n int) []byte {
	if n < 0 || n > len(a.b) {
		a.bad, a.b = true, nil
		return make([]byte, min(max(n, 0), 8))
	}
	taken := a.b[:n:n]
	a.b = a.b[n:]
	return taken
}

func (a *answerReader) int16() int16 { return int16(binary.BigEndian.Uint16(a.take(2))) }
func (a *answerReader) int32() int32 { return int32(binary.BigEndian.Uint32(a.take(4))) }
func (a *answerReader) int64() int64 { return int64(binary.BigEndian.Uint64(a.take(8))) }

// count reads the length of an array whose elements have size bytes at least.
func (a *answerReader) count(size int) int {
	n := int(a.int32())
	if n > len(a.b)/size {
		a.bad = true
		return 0
	}
	return max(n, 0) // -1 is no array
}

// parseAnswer reads an answer of versions 4 to 11 of a fetch of one partition.
// https://kafka.apache.org/protocol.html#The_Messages_Fetch
func parseAnswer(b []byte, version int16, r *FetchRequest) (answer *fetchAnswer, err error) {
	a := &answerReader{b: b}
	a.int32() // throttled for so long
	if version >= 7 {
		if code := a.int16(); code != 0 {
			return nil, kafka.Error(code)
		}
		a.int32() // session
	}
	for range a.count(2) {
		topic := string(a.take(int(a.int16())))
		for range a.count(30) {
			p := fetchAnswer{preferred: -1}
			partition := a.int32()
			code := a.int16()
			p.end, p.stable = a.int64(), a.int64()
			if version >= 5 {
				a.int64() // the first offset
			}
			for range a.count(16) {
				p.aborted = append(p.aborted, recordset.Aborted{ProducerID: a.int64(), First: a.int64()})
			}
			if version >= 11 {
				p.preferred = a.int32()
			}
			if n := a.int32(); n > 0 {
				p.set = a.take(int(n))
			}
			if a.bad {
				return nil, errAnswer
			}
			if topic == r.Topic && int(partition) == r.Partition {
				if code != 0 {
					return nil, kafka.Error(code)
				}
				return &p, nil
			}
		}
	}
	return nil, errAnswer
}

// fetchAnswer is what a broker answers for a partition.
type fetchAnswer struct {
	end, stable int64
	aborted     []recordset.Aborted
	preferred   int32 // the replica to ask instead; -1: none
	set         []byte
	release     func() // gives the memory of set back
}

// bytesOf returns the bound of a fetch.
func (r *FetchRequest) bytesOf() int32 {
	if r.MaxBytes == 0 {
		return fetchBytes
	}
	return int32(min(r.MaxBytes, math.MaxInt32))
}
