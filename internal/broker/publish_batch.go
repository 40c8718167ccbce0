package broker

import (
	"bytes"
	"encoding/binary"
	"io"

	"verdict/internal/decision"

	"github.com/segmentio/kafka-go"
)

// batchBytes bounds a batch, with its overhead, just below the broker's default
// (message.max.bytes, 1048588).
const batchBytes = 1 << 20

// batchOverhead is the size of a record batch without records (format v2).
const batchOverhead = 61

// sizeInBatch returns an upper bound of the record's size in a batch.
func sizeInBatch(rec *decision.Record) int {
	const (
		length = binary.MaxVarintLen32
		// A byte of attributes, the deltas of timestamp and offset, and the
		// lengths of the record, the key, the value and the list of headers.
		fixed = 1 + binary.MaxVarintLen64 + 5*length
	)
	return fixed + len(rec.Headers)*2*length + rec.Size()
}

// batchReader reads items into a request. Each attempt needs a new one. Like
// kafka.Writer it returns the same record again and again, since the request
// copies it at once.
type batchReader struct {
	items      []*item
	record     kafka.Record
	key, value payload
}

// ReadRecord returns the next record, and io.EOF after the last.
func (r *batchReader) ReadRecord() (*kafka.Record, error) {
	if len(r.items) == 0 {
		return nil, io.EOF
	}
	rec := &r.items[0].rec
	r.items = r.items[1:]
	r.record = kafka.Record{
		Time:    rec.Time,
		Key:     r.key.reset(rec.Key),
		Value:   r.value.reset(rec.Value),
		Headers: r.record.Headers[:0],
	}
	for _, h := range rec.Headers {
		r.record.Headers = append(r.record.Headers, kafka.Header(h))
	}
	return &r.record, nil
}

// payload is a key or value in the form in which kafka-go reads it.
type payload struct{ bytes.Reader }

// reset makes the payload read b. Nil, which Kafka distinguishes from empty,
// stays nil.
func (p *payload) reset(b []byte) kafka.Bytes {
	if b == nil {
		return nil
	}
	p.Reset(b)
	return p
}

// Close does nothing: a payload is used again.
func (*payload) Close() error { return nil }
