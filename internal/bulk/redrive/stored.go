package redrive

import (
	"context"
	"time"

	"verdict/internal/broker"
	"verdict/internal/decision"
	"verdict/internal/retry"
)

// alreadyStored says whether a copy whose request failed is in its topic all the same: it
// looks through what the partition got since this run noted its end. What may still
// be on its way to the broker is waited for a little.
func (r *Redriver) alreadyStored(ctx context.Context, partition int, rec *decision.Record) (bool, error) {
	if err := retry.Sleep(ctx, time.Second); err != nil {
		return false, err
	}
	ends, err := r.o.Connection.LogEnds(ctx, rec.Topic)
	if err != nil {
		return false, err
	}
	from, end := r.noted[rec.Topic][partition], ends[partition]
	if end <= from {
		return false, nil
	}
	letter, _ := decision.RedrivenFrom(rec)
	is := false
	err = r.o.Connection.Scan(ctx, broker.ScanOptions{
		Topic: rec.Topic, Partitions: []int{partition}, Offsets: map[int]int64{partition: from}, Ends: map[int]int64{partition: end},
	}, func(there decision.Record) error {
		if at, ok := decision.RedrivenFrom(&there); !ok || at != letter {
			return nil
		}
		is = true
		return broker.ErrStopScan
	})
	return is, err
}
