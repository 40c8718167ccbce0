package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"verdict/internal/decision"

	"golang.org/x/sync/errgroup"
)

// ErrStopScan ends a Scan without error when its callback returns it.
var ErrStopScan = errors.New("broker: stop the scan")

// scanFetches is how many fetches of one Scan may be in progress or wait for the
// callback. A Scan holds the records of these and no more, whatever the number of
// partitions.
const scanFetches = 16

// ScanOptions say what to read.
type ScanOptions struct {
	// Topic is the topic to read. Required.
	Topic string
	// Partitions are the partitions to read; nil: all that exist at the start.
	Partitions []int
	// Since makes each partition begin at its first record whose timestamp is
	// this time or later; the records after it are delivered whatever their time.
	// Zero: the oldest record.
	Since time.Time
	// Offsets are where single partitions begin instead. Where the records up to
	// an offset have been deleted, the partition begins at the oldest record that
	// is left.
	Offsets map[int]int64
	// Ends are the offsets before which single partitions end. One that is not
	// named ends where it does at the start of the scan, see Bounds. Follow
	// ignores them.
	Ends map[int]int64
	// Follow reads on beyond the ends, until ctx ends or the callback stops it.
	Follow bool
	// Retrying is called, like the callback, each time a request failed and will
	// be repeated. Nil: no calls.
	Retrying func(err error)
}

// Scan reads a topic's committed records without a consumer group, leaving no
// trace in Kafka, and calls each for every one of them. It reads partitions in
// parallel, and each partition in the order of its offsets. The calls are made
// one at a time, by the goroutine that called Scan; while each runs, reading
// waits. The callback may keep the record.
//
// Scan returns nil when every partition was read to its end or each returned
// ErrStopScan, and otherwise the error of each or of ctx. It retries transient
// failures (a leader that moves, an unreachable cluster) from where it was, until
// ctx ends; a missing topic or right is an error. It passes over offsets without
// a record (compaction, retention, aborted transactions and their markers). A record that
// could not be read whole has a Fault.
func (c *Connection) Scan(ctx context.Context, o ScanOptions, each func(decision.Record) error) error {
	partitions, err := c.partitionsToScan(ctx, o)
	if err != nil {
		return err
	}
	// This context has no deadline: kafka-go would let the broker wait for half
	// of the time that is left, again and again, in ever more requests.
	within, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	results := make(chan fetchResult)
	fetches := make(chan struct{}, scanFetches)
	reading, readingCtx := errgroup.WithContext(within)
	for _, p := range partitions {
		reading.Go(func() error { return p.run(readingCtx, fetches, results) })
	}
	ended := make(chan error, 1)
	go func() {
		ended <- reading.Wait()
		close(results)
	}()
	var stopped error
	for r := range results {
		if stopped != nil {
			continue // until the other partitions see that ctx has ended
		}
		if stopped = r.deliver(o, each); stopped != nil {
			cancel()
		}
	}
	err = <-ended
	switch {
	case errors.Is(stopped, ErrStopScan):
		return nil
	case stopped != nil:
		return stopped
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("read %s: %w", o.Topic, context.Cause(ctx))
	}
	return err
}

// partitionsToScan returns the partitions that the options name, each with its
// first offset and its end.
func (c *Connection) partitionsToScan(ctx context.Context, o ScanOptions) ([]*partitionScan, error) {
	var bounds map[int]Bound
	var since map[int]int64
	err := retryTransient(ctx, o.Retrying, func() (err error) {
		if bounds, err = c.bounds(ctx, o.Topic); err != nil || o.Since.IsZero() {
			return err
		}
		since, err = c.offsetsAt(ctx, o.Topic, bounds, o.Since)
		return err
	})
	if err != nil {
		return nil, err
	}
	wanted := o.Partitions
	if wanted == nil {
		for partition := range bounds {
			wanted = append(wanted, partition)
		}
	}
	partitions := make([]*partitionScan, 0, len(wanted))
	for _, partition := range wanted {
		bound, ok := bounds[partition]
		if !ok {
			return nil, fmt.Errorf("topic %s has no partition %d, only 0 to %d", o.Topic, partition, len(bounds)-1)
		}
		p := &partitionScan{connection: c, topic: o.Topic, partition: partition, next: bound.First, end: bound.End, follow: o.Follow}
		if !o.Since.IsZero() {
			p.next = bound.End
			if offset, ok := since[partition]; ok {
				p.next = offset
			}
		}
		if offset, ok := o.Offsets[partition]; ok {
			p.next = max(offset, bound.First)
		}
		if end, ok := o.Ends[partition]; ok {
			p.end = end
		}
		partitions = append(partitions, p)
	}
	return partitions, nil
}

// fetchResult is what one fetch of a scan brought: records, or an error that will
// be retried.
type fetchResult struct {
	records []decision.Record
	err     error
}

func (r fetchResult) deliver(o ScanOptions, each func(decision.Record) error) error {
	if r.err != nil && o.Retrying != nil {
		o.Retrying(r.err)
	}
	for _, rec := range r.records {
		if err := each(rec); err != nil {
			return err
		}
	}
	return nil
}
