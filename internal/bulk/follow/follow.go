package follow

import (
	"cmp"
	"context"
	"time"
)

// Follow watches a batch until all of its decisions are settled, and says how they
// ended. It reads the topics from their beginning or from Since, leaves nothing
// behind in Kafka, and can be started at any time, on any machine. Memory: about a
// byte for each decision (see tally).
//
// If ctx ends before, it returns what is known with ctx's error.
func Follow(ctx context.Context, o Options) (Summary, error) {
	o.Poll = cmp.Or(o.Poll, time.Second)
	if o.Progress == nil {
		o.Progress = func(Summary) {}
	}
	if o.Retrying == nil {
		o.Retrying = func(error) {}
	}
	f := &follower{o: o, tally: newTally(), at: make(map[string]map[int]int64), others: make(map[string]struct{})}
	err := f.watch(ctx)
	if err != nil && ctx.Err() == nil {
		return f.sum(), err
	}
	if err == nil {
		err = f.report(ctx)
	}
	sum := f.sum()
	sum.Open = f.open
	return sum, err
}

// follower is one Follow. It belongs to one goroutine.
type follower struct {
	o      Options
	tally  *tally
	at     map[string]map[int]int64 // how far each topic was read, by partition
	size   int64
	read   int64
	others map[string]struct{} // batches that were seen beside, a few
	recent []string            // them, in the order of their appearance
	open   []OpenDecision
	pace   []paceMark
	told   time.Time
	looked bool // Kafka answered once, so that an outage is waited out
}

// watch looks again and again until everything is settled or time is up.
func (f *follower) watch(ctx context.Context) error {
	var timeout <-chan time.Time
	if f.o.Timeout > 0 {
		timer := time.NewTimer(f.o.Timeout)
		defer timer.Stop()
		timeout = timer.C
	}
	ticker := time.NewTicker(f.o.Poll)
	defer ticker.Stop()
	for {
		if err := f.look(ctx); err != nil {
			return err
		}
		if f.tally.members == 0 {
			return f.noBatch()
		}
		f.keepPace()
		sum := f.sum()
		f.o.Progress(sum)
		if sum.Done() || f.o.Once {
			return nil
		}
		select {
		case <-ticker.C:
		case <-timeout:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
