package consumer

import (
	"context"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/decision"
)

// skipSettled is how many settled offsets in a row are read and dropped. Beyond
// that it costs less to fetch from where they end.
const skipSettled = 1000

// fetch is the loop of one partition: it reads, tracks and hands over records
// until ctx ends. The claim's span and the handler's room hold it back.
//
// It is the only place where the consumer reads records: the rest of the package
// knows a record by its claim and offset alone.
func (c *Consumer) fetch(ctx context.Context, claim *Claim) {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers:          c.opts.Brokers,
		Dialer:           c.opts.Dialer,
		Topic:            claim.Topic,
		Partition:        claim.Partition,
		MinBytes:         1,
		MaxBytes:         1 << 20,
		MaxWait:          500 * time.Millisecond, // also how long Close may take
		QueueCapacity:    64,
		ReadLagInterval:  -1,
		ReadBackoffMin:   50 * time.Millisecond,
		ReadBackoffMax:   time.Second,
		IsolationLevel:   kafka.ReadCommitted,
		ReadBatchTimeout: time.Minute,
		Logger:           nil,
		ErrorLogger:      kafkaLog(c.log.With("topic", claim.Topic, "partition", claim.Partition)),
	})
	defer reader.Close()
	if err := reader.SetOffset(claim.firstOffset()); err != nil {
		c.log.Error("can't set the first offset to fetch", "topic", claim.Topic, "partition", claim.Partition, "err", err)
		return
	}
	for {
		msg, err := reader.FetchMessage(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			// The Reader dials again by itself, with back-off, from where it was.
			// This is no reason to pause: what was fetched can be settled, and
			// heartbeats notice an unreachable cluster.
			c.log.Debug("fetch failed", "topic", claim.Topic, "partition", claim.Partition, "err", err)
			continue
		}
		claim.sawEnd(msg.HighWaterMark)
		settled, before, err := claim.track(ctx, msg.Offset)
		if err != nil {
			return
		}
		if settled {
			if next := claim.settledUntil(msg.Offset); next-msg.Offset > skipSettled {
				_ = reader.SetOffset(next) // it fails only when the reader is closed
			}
			continue
		}
		if isMarker(&msg) {
			claim.Settle(msg.Offset)
			continue
		}
		if err := c.handler.Accept(ctx, claim, newRecord(&msg), before); err != nil {
			return
		}
	}
}

// isMarker reports whether a message is the marker of a transaction's end, which
// kafka-go's Reader delivers like any other message: a key of version 0 and the
// type abort or commit, and a value of version 0 and the coordinator's epoch
// (Kafka's EndTransactionMarker). No decision has such a value, in any format.
func isMarker(m *kafka.Message) bool {
	return len(m.Headers) == 0 && len(m.Key) == 4 && m.Key[0] == 0 && m.Key[1] == 0 && m.Key[2] == 0 && m.Key[3] <= 1 &&
		len(m.Value) == 6 && m.Value[0] == 0 && m.Value[1] == 0
}

// newRecord returns a message without kafka-go's types.
func newRecord(m *kafka.Message) decision.Record {
	rec := decision.Record{
		Topic: m.Topic, Partition: m.Partition, Offset: m.Offset,
		Key: m.Key, Value: m.Value, Time: m.Time,
	}
	if len(m.Headers) > 0 {
		rec.Headers = make([]decision.Header, len(m.Headers))
		for i, h := range m.Headers {
			rec.Headers[i] = decision.Header{Key: h.Key, Value: h.Value}
		}
	}
	return rec
}
