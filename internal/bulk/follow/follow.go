package follow

import (
	"cmp"
	"context"
	"maps"
	"time"

	"verdict/internal/decision"
)

// Follow watches a batch until all of its decisions are settled, and returns how they
// ended. It reads the topics from their beginning or from Since, and leaves no trace
// in Kafka.
//
// If ctx ends first, Follow returns what it knows, with the error of ctx.
func Follow(ctx context.Context, o Options) (Summary, error) {
	f := newFollower(o)
	err := f.watch(ctx)
	if err != nil && ctx.Err() == nil {
		return f.summary(), err
	}
	if err == nil {
		err = f.report(ctx)
	}
	s := f.summary()
	s.Open = f.open
	if err != nil { // nobody has looked for what is missing
		s.Waiting, s.Missing, s.NotFound = s.Waiting+s.Missing, 0, 0
	}
	return s, err
}

// follower is one call of Follow or Parts. It belongs to one goroutine.
type follower struct {
	options      Options
	tally        *tally
	everyRecord  bool                     // a second record of a line is another decision
	readTo       map[string]map[int]int64 // where reading each topic goes on, by partition
	size         int64                    // of the batch; zero: not known
	inLedger     bool                     // the ledger says so
	unsent       int64                    // decisions of the batch that its submit has not sent yet, by the ledger
	progress     groupProgress            // from before the last round
	waiting      int64                    // decisions that are not settled, and that the group has not passed; counted at the end
	read         int64                    // records read
	claims       []claim                  // of this round
	letters      map[decision.Position]*letter
	others       otherBatches
	open         []OpenDecision
	pace         pace
	lastProgress time.Time // when Progress was called last while reading
	answered     bool      // Kafka has answered once, so an outage is waited out
}

func newFollower(o Options) *follower {
	o.Poll = cmp.Or(o.Poll, time.Second)
	if o.Progress == nil {
		o.Progress = func(Summary) {}
	}
	if o.Decode == nil {
		o.Decode = decision.Decode
	}
	if o.Retrying == nil {
		o.Retrying = func(error) {}
	}
	f := &follower{options: o, tally: newTally(), readTo: maps.Clone(o.Begin), letters: make(map[decision.Position]*letter)}
	if f.readTo == nil {
		f.readTo = make(map[string]map[int]int64)
	}
	return f
}

// watch reads rounds until everything is settled or the time is up.
func (f *follower) watch(ctx context.Context) error {
	var timeout <-chan time.Time
	if f.options.Timeout > 0 {
		timer := time.NewTimer(f.options.Timeout)
		defer timer.Stop()
		timeout = timer.C
	}
	ticker := time.NewTicker(f.options.Poll)
	defer ticker.Stop()
	for {
		if err := f.readRound(ctx, adders{f.addDecision, f.checkClaims, f.addResult, f.addDeadLetter}); err != nil {
			return err
		}
		if f.tally.members == 0 && f.unsent == 0 {
			return f.noBatch()
		}
		f.pace.add(time.Now(), f.tally.settled())
		s := f.summary()
		f.options.Progress(s)
		if s.Done() || f.options.Once {
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
