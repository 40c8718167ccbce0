package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"verdict/internal/decision"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

const (
	// fetchBytes bounds the records of one fetch as they are on the wire, in
	// bytes. One batch comes whole, however large it is.
	fetchBytes = 1 << 20
	// fetchWait is how long a broker holds a fetch for which it has nothing.
	fetchWait = 500 * time.Millisecond
)

// fetch reads the next records of the partition and moves on past them.
func (p *partitionScan) fetch(ctx context.Context) ([]decision.Record, error) {
	answer, err := p.connection.client.Fetch(ctx, &kafka.FetchRequest{
		Topic: p.topic, Partition: p.partition, Offset: p.next,
		MinBytes: 1, MaxBytes: fetchBytes, MaxWait: fetchWait, IsolationLevel: kafka.ReadCommitted,
	})
	if err == nil {
		err = answer.Error
	}
	if errors.Is(err, kafka.OffsetOutOfRange) {
		err = p.skipDeleted(ctx)
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("read %s/%d at %d: %w%s", p.topic, p.partition, p.next, err, hint(err))
	}
	stream, ok := answer.Records.(*protocol.RecordStream)
	if !ok || len(stream.Records) == 0 {
		// Either this is the end, or all records up to it are compacted away, or a
		// new leader does not know yet what it may return. Only in the second case
		// is the next answer the same.
		if p.empty {
			p.next = max(p.next, stableEnd(answer))
		}
		p.empty = !p.empty && p.next < stableEnd(answer)
		return nil, nil
	}
	p.empty = false
	return p.take(stream)
}

// stableEnd returns the last stable offset. A broker from before transactions
// does not send one.
func stableEnd(answer *kafka.FetchResponse) int64 {
	if answer.LastStableOffset <= 0 {
		return answer.HighWatermark
	}
	return answer.LastStableOffset
}

// take returns the records of an answer. The answer begins with the batch that
// holds p.next or, if there is none, the first batch after it; records before
// p.next may come along in their batch. Control batches are the markers of
// transactions.
func (p *partitionScan) take(stream *protocol.RecordStream) ([]decision.Record, error) {
	// At least one offset is passed: if p.next lies in the first batch but neither
	// it nor an offset after it has a record there, nothing says where the batch
	// ends.
	next := p.next + 1
	var records []decision.Record
	for _, batch := range stream.Records {
		control := false
		switch b := batch.(type) {
		case *protocol.ControlBatch:
			control, next = true, max(next, b.BaseOffset+1)
		case *protocol.RecordBatch:
			next = max(next, b.BaseOffset+1)
		}
		for {
			r, err := batch.ReadRecord()
			if err != nil {
				break // io.EOF: a malformed batch was refused when the answer was read
			}
			next = max(next, r.Offset+1)
			rec, err := p.newRecord(r)
			if err != nil {
				return nil, err
			}
			if !control && rec.Offset >= p.next && (p.follow || rec.Offset < p.end) {
				records = append(records, rec)
			}
		}
	}
	p.next = next
	return records, nil
}

// newRecord returns a record without kafka-go's types, in memory of its own.
func (p *partitionScan) newRecord(r *protocol.Record) (decision.Record, error) {
	rec := decision.Record{Topic: p.topic, Partition: p.partition, Offset: r.Offset, Time: r.Time}
	var err error
	if rec.Key, err = copyBytes(r.Key); err != nil {
		return rec, err
	}
	if rec.Value, err = copyBytes(r.Value); err != nil {
		return rec, err
	}
	if len(r.Headers) > 0 {
		rec.Headers = make([]decision.Header, len(r.Headers))
		for i, h := range r.Headers {
			rec.Headers[i] = decision.Header{Key: h.Key, Value: h.Value}
		}
	}
	return rec, nil
}

// copyBytes copies bytes out of the answer's pages and releases the pages.
func copyBytes(b protocol.Bytes) ([]byte, error) {
	if b == nil {
		return nil, nil
	}
	defer b.Close()
	return protocol.ReadAll(b)
}

// skipDeleted moves on to the oldest record that retention has left. If instead
// the partition ends before an offset that was already read, it was created again
// or lost records, which is an error.
func (p *partitionScan) skipDeleted(ctx context.Context) error {
	bounds, err := p.connection.bounds(ctx, p.topic)
	if err != nil {
		return err
	}
	if first := bounds[p.partition].First; p.next < first {
		p.next = first
		return nil
	}
	return fmt.Errorf("read %s/%d at %d: %w: it ends at %d; was the topic deleted and created again?",
		p.topic, p.partition, p.next, kafka.OffsetOutOfRange, bounds[p.partition].End)
}
