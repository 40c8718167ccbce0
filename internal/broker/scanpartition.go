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
	// scanFetch bounds the records of one fetch as they are on the wire, in
	// bytes; one batch comes whole, however large.
	scanFetch = 1 << 20
	// scanWait is how long a broker holds a fetch for which it has nothing.
	scanWait = 500 * time.Millisecond
)

// scannedPartition is one partition of a Scan. It belongs to its goroutine.
type scannedPartition struct {
	connection *Connection
	topic      string
	partition  int
	next, end  int64
	follow     bool
	nothing    bool // the last fetch brought no batch
}

// run reads the partition to its end. A fetch holds its place among fetches
// until its records are taken.
func (p *scannedPartition) run(ctx context.Context, fetches chan struct{}, found chan<- finding) error {
	send := func(f finding) error {
		select {
		case found <- f:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	turn := func() error {
		select {
		case fetches <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		defer func() { <-fetches }()
		records, err := p.fetch(ctx)
		if err != nil || len(records) == 0 {
			return err
		}
		return send(finding{records: records})
	}
	for p.follow || p.next < p.end {
		// Telling fails only with ctx, which ends the retries too.
		if err := retry(ctx, func(err error) { _ = send(finding{err: err}) }, turn); err != nil {
			return err
		}
	}
	return nil
}

// fetch reads the next records, and moves on to what comes behind them.
func (p *scannedPartition) fetch(ctx context.Context) ([]decision.Record, error) {
	answer, err := p.connection.client.Fetch(ctx, &kafka.FetchRequest{
		Topic: p.topic, Partition: p.partition, Offset: p.next,
		MinBytes: 1, MaxBytes: scanFetch, MaxWait: scanWait, IsolationLevel: kafka.ReadCommitted,
	})
	if err == nil {
		err = answer.Error
	}
	if errors.Is(err, kafka.OffsetOutOfRange) {
		err = p.outOfRange(ctx)
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("read %s/%d at %d: %w%s", p.topic, p.partition, p.next, err, likelyCause(err))
	}
	stream, ok := answer.Records.(*protocol.RecordStream)
	if !ok || len(stream.Records) == 0 {
		// The end; or the records up to it are all compacted away; or a new
		// leader that does not know yet what it may give. Only the second
		// answers like this again.
		if p.nothing {
			p.next = max(p.next, stableEnd(answer))
		}
		p.nothing = !p.nothing && p.next < stableEnd(answer)
		return nil, nil
	}
	p.nothing = false
	return p.take(stream)
}

// stableEnd is the last stable offset; a broker of a time before transactions
// does not give one.
func stableEnd(answer *kafka.FetchResponse) int64 {
	if answer.LastStableOffset <= 0 {
		return answer.HighWatermark
	}
	return answer.LastStableOffset
}

// take gives the records of an answer, which begins with the batch that holds
// next or, where there is none, the first behind it. Records before next come
// along in their batch; control batches are the markers of transactions.
func (p *scannedPartition) take(stream *protocol.RecordStream) ([]decision.Record, error) {
	// If next is in the first batch and has no record there, nor has any offset
	// behind it, then the batch gives no word of where it ends.
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
				break // io.EOF: what was malformed was refused when the answer was read
			}
			next = max(next, r.Offset+1)
			rec, err := p.record(r)
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

// record is a record without kafka-go's types, in memory of its own.
func (p *scannedPartition) record(r *protocol.Record) (decision.Record, error) {
	rec := decision.Record{Topic: p.topic, Partition: p.partition, Offset: r.Offset, Time: r.Time}
	var err error
	if rec.Key, err = own(r.Key); err != nil {
		return rec, err
	}
	if rec.Value, err = own(r.Value); err != nil {
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

// own copies bytes out of the answer's pages and lets these go.
func own(b protocol.Bytes) ([]byte, error) {
	if b == nil {
		return nil, nil
	}
	defer b.Close()
	return protocol.ReadAll(b)
}

// outOfRange moves on to what retention has left. A partition that has become
// shorter than what was read of it was made anew or has lost records, and is an
// error.
func (p *scannedPartition) outOfRange(ctx context.Context) error {
	bounds, err := p.connection.bounds(ctx, p.topic)
	if err != nil {
		return err
	}
	if first := bounds[p.partition].First; p.next < first {
		p.next = first
		return nil
	}
	return fmt.Errorf("read %s/%d at %d: %w: it ends at %d; was the topic made anew?",
		p.topic, p.partition, p.next, kafka.OffsetOutOfRange, bounds[p.partition].End)
}
