package broker

import "context"

// partitionScan is one partition of a Scan. It belongs to one goroutine.
type partitionScan struct {
	connection *Connection
	topic      string
	partition  int
	next, end  int64 // the next offset to read, and the one to stop at
	follow     bool  // ignore end
	empty      bool  // the last fetch brought no batch, though the end was not reached
}

// run reads the partition to its end. A fetch keeps its place among fetches until
// its records are taken.
func (p *partitionScan) run(ctx context.Context, fetches chan struct{}, results chan<- fetchResult) error {
	send := func(r fetchResult) error {
		select {
		case results <- r:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	step := func() error {
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
		return send(fetchResult{records: records})
	}
	for p.follow || p.next < p.end {
		// Sending the error fails only when ctx ends, which ends the retries too.
		onRetry := func(err error) { _ = send(fetchResult{err: err}) }
		if err := retryTransient(ctx, onRetry, step); err != nil {
			return err
		}
	}
	return nil
}
