package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"verdict/internal/decision"

	"golang.org/x/sync/errgroup"
)

// ErrStopScan is what the callback of Scan returns to end it without error.
var ErrStopScan = errors.New("broker: stop the scan")

// scanFetches is how many fetches of one Scan may be under way or wait for the
// callback, so that a Scan holds their records and no more, whatever the number
// of partitions.
const scanFetches = 16

// ScanOptions say what is read.
type ScanOptions struct {
	// Topic is the topic to read. Required.
	Topic string
	// Partitions are those to read; nil means all that there are at the start.
	Partitions []int
	// Since lets each partition begin at its first record of this time or
	// later, by the records' timestamps; later ones are given whatever their
	// time. Zero means the oldest record.
	Since time.Time
	// Offsets are where single partitions begin instead. Where records before
	// them or at them are deleted by now, the scan begins at what is left.
	Offsets map[int]int64
	// Ends are the offsets before which single partitions end; one that is
	// not named ends where it does at the start of the scan (see Bounds). With
	// Follow they mean nothing.
	Ends map[int]int64
	// Follow goes on beyond the ends, until ctx ends or the callback stops it.
	Follow bool
	// Retrying is told each time a request failed that is made again; nil
	// means nobody asks. It is called like the callback.
	Retrying func(err error)
}

// Scan reads a topic's committed records without a consumer group, leaving no
// trace in Kafka, and calls each for every one of them. Partitions are read in
// parallel, each in the order of its offsets; the calls are made one at a time,
// by the goroutine that called Scan, and the record is each's to keep. While
// each waits, so does reading.
//
// Scan returns nil when every partition was read to its end or each returned
// ErrStopScan, and otherwise each's error, or ctx's. What fails on the way (a
// leader that moves, a cluster that is away) is tried again from where it was
// for as long as ctx lasts; a missing topic or right is an error. Offsets
// without a record (compaction, retention, the markers of transactions) are
// passed over. Records of aborted transactions are given like any other, since
// kafka-go does not tell which they are.
func (c *Connection) Scan(ctx context.Context, o ScanOptions, each func(decision.Record) error) error {
	partitions, err := c.scanned(ctx, o)
	if err != nil {
		return err
	}
	// Without a deadline: kafka-go would let the broker wait for half of what is
	// left of it, again and again, in ever more requests.
	within, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	found := make(chan finding)
	fetches := make(chan struct{}, scanFetches)
	reading, readingCtx := errgroup.WithContext(within)
	for _, p := range partitions {
		reading.Go(func() error { return p.run(readingCtx, fetches, found) })
	}
	ended := make(chan error, 1)
	go func() {
		ended <- reading.Wait()
		close(found)
	}()
	var stopped error
	for f := range found {
		if stopped != nil {
			continue // the others see that ctx has ended
		}
		if stopped = f.tell(o, each); stopped != nil {
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

// scanned is the partitions that the options ask for, each with its first
// offset and its end.
func (c *Connection) scanned(ctx context.Context, o ScanOptions) ([]*scannedPartition, error) {
	var bounds map[int]Bound
	var since map[int]int64
	err := retry(ctx, o.Retrying, func() (err error) {
		if bounds, err = c.bounds(ctx, o.Topic); err != nil || o.Since.IsZero() {
			return err
		}
		since, err = c.since(ctx, o.Topic, bounds, o.Since)
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
	partitions := make([]*scannedPartition, 0, len(wanted))
	for _, partition := range wanted {
		bound, ok := bounds[partition]
		if !ok {
			return nil, fmt.Errorf("topic %s has no partition %d, only 0 to %d", o.Topic, partition, len(bounds)-1)
		}
		p := &scannedPartition{connection: c, topic: o.Topic, partition: partition, next: bound.First, end: bound.End, follow: o.Follow}
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

// finding is what one fetch brought: records, or an error that is passing.
type finding struct {
	records []decision.Record
	err     error
}

func (f finding) tell(o ScanOptions, each func(decision.Record) error) error {
	if f.err != nil && o.Retrying != nil {
		o.Retrying(f.err)
	}
	for _, rec := range f.records {
		if err := each(rec); err != nil {
			return err
		}
	}
	return nil
}
