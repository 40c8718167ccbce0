package submit

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"verdict/internal/broker"
	"verdict/internal/bulk/rows"
)

const (
	// answerTimeout bounds the first requests, so that a wrong address is an error and
	// not an endless wait.
	answerTimeout = 30 * time.Second
	// stopTimeout is how long a stopped submit waits for acknowledgements.
	stopTimeout = 10 * time.Second
	// statusTimeout is the age from which a batch's status, renewed at each checkpoint,
	// means that the machine which wrote it has stopped.
	statusTimeout = time.Minute
)

// submission is one call of Submit.
type submission struct {
	options Options
	batch   *rows.Batch
	journal *journal
	entry   *journalEntry // of the batch
	group   string        // holds the batch's status
	status  *status       // nil: the group can't be used

	publisher *broker.Publisher
	stop      context.CancelCauseFunc // ends send
	inflight  inflight
	sent      atomic.Int64 // acknowledged
	stored    *rowSet      // rows after entry.Done that were in the topic at the start
	skipped   int64        // rows of stored that were passed over so far
	lastRow   int64        // the last row that is in the topic, in flight or not to be sent
}

// Submit sends those decisions of a batch that are not in its topic yet, and returns
// once all in-sync replicas acknowledged all of them. When ctx ends it waits up to ten
// seconds for acknowledgements. The next call for the same batch sends what is left,
// and nothing twice; the package comment says how.
//
// The error is an *AlreadySentError if there was nothing left to send.
func Submit(ctx context.Context, b *rows.Batch, o Options) (Summary, error) {
	s := &submission{options: o.withDefaults(), batch: b, group: statusGroup(o.Group, b.ID)}
	var err error
	if s.journal, err = openJournal(o.Journal); err != nil {
		return Summary{}, err
	}
	defer s.journal.close()
	first, cancel := context.WithTimeoutCause(ctx, answerTimeout, fmt.Errorf("Kafka did not answer within %v", answerTimeout))
	err = s.begin(first)
	cancel()
	if sent, ok := errors.AsType[*AlreadySentError](err); ok {
		return Summary{Earlier: sent.Size}, err
	}
	if err != nil {
		return Summary{}, err
	}
	earlier := s.entry.Acknowledged
	if err := s.findStored(ctx); err != nil {
		return Summary{Earlier: earlier}, err
	}
	earlier += s.stored.count()
	s.options.Acknowledged.Store(earlier)
	s.options.OnStart(earlier)
	err = s.send(ctx)
	return Summary{Earlier: earlier, Sent: s.sent.Load(), Began: s.entry.Began}, err
}
