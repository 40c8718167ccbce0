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
	// firstContact bounds the first requests, so that a wrong address is an error
	// and not a wait without end.
	firstContact = 30 * time.Second
	// lastWords is how long a submit that is stopped waits for acknowledgements.
	lastWords = 10 * time.Second
	// signOfLife is the time after which a batch that another machine is sending,
	// by its mark, counts as left behind. It is written at each checkpoint.
	signOfLife = time.Minute
)

// submission is one submit at work.
type submission struct {
	o       Options
	batch   *rows.Batch
	journal *journal
	entry   *journalBatch
	group   string
	mark    *status // nil: the group may not be used

	publisher *broker.Publisher
	stop      context.CancelCauseFunc // ends send
	inflight  inflight
	sent      atomic.Int64 // acknowledged
	there     *rowSet      // rows behind entry.Done that are in the topic
	found     int64        // rows of there that were passed
	passed    int64        // the last row that is in the topic, under way or not to be sent
}

// Submit sends the decisions of a batch that are not in its topic yet, and returns
// when all are acknowledged by all in-sync replicas. Ended by ctx, it first waits a
// while for acknowledgements. What it leaves undone, the next call for the same
// batch does, and sends nothing again: DESIGN.md says how, and what remains.
//
// The error is an *AlreadySentError if there was nothing to do.
func Submit(ctx context.Context, b *rows.Batch, o Options) (Summary, error) {
	s := &submission{o: o.withDefaults(), batch: b, group: statusGroup(o.Group, b.ID)}
	var err error
	if s.journal, err = openJournal(o.Journal); err != nil {
		return Summary{}, err
	}
	defer s.journal.close()
	contact, cancel := context.WithTimeoutCause(ctx, firstContact, fmt.Errorf("Kafka gave no answer for %v", firstContact))
	err = s.begin(contact)
	cancel()
	if sent, ok := errors.AsType[*AlreadySentError](err); ok {
		return Summary{Before: sent.Size}, err
	}
	if err != nil {
		return Summary{}, err
	}
	before := s.entry.Acknowledged
	if s.there, err = s.findSent(ctx); err != nil {
		return Summary{Before: before}, err
	}
	before += s.there.count()
	s.o.Acknowledged.Store(before)
	s.o.Begins(before)
	err = s.send(ctx)
	return Summary{Before: before, Sent: s.sent.Load(), Began: s.entry.Began}, err
}
