package broker

import (
	"context"
	"fmt"
	"time"

	"verdict/internal/decision"

	"github.com/segmentio/kafka-go"
)

// Append appends records to a partition of the caller's choice, in their order:
// Key, Value, Headers and Time, where zero stands for now. It returns the offset
// of the first once all in-sync replicas have them. It makes one request, so the
// records together must fit the broker's message.max.bytes, and one attempt: the
// caller decides whether there is still a reason for another. After an error the
// records may nevertheless have been stored.
func (c *Connection) Append(ctx context.Context, topic string, partition int, records []decision.Record) (offset int64, err error) {
	items := make([]*item, len(records))
	for i, rec := range records {
		if rec.Time.IsZero() {
			rec.Time = time.Now()
		}
		items[i] = &item{rec: rec}
	}
	res, err := c.client.Produce(ctx, &kafka.ProduceRequest{
		Topic:        topic,
		Partition:    partition,
		RequiredAcks: kafka.RequireAll,
		Records:      &batchReader{items: items},
	})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return 0, fmt.Errorf("append to %s/%d: %w%s", topic, partition, err, hint(err))
	}
	return res.BaseOffset, nil
}
