package submit

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"verdict/internal/broker"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

// maxFiles is the largest number of files that an entry of the ledger names.
const maxFiles = 20

// answerTimeout bounds the first request, so that a wrong address is an error and not an
// endless wait. beginTimeout bounds the others: transactions that crashes left open, which
// hold back readers of the ledger, end within a minute.
const (
	answerTimeout = 30 * time.Second
	beginTimeout  = 2 * time.Minute
)

// begin takes the batch over, finds how far it got, and registers this run. If it then has
// a reason not to go on, whoever else sends the batch finds that it still owns it.
func (s *submission) begin(ctx context.Context) error {
	o := &s.options.Ledger
	first, cancel := context.WithTimeout(ctx, answerTimeout)
	bounds, err := o.Connection.Bounds(first, s.options.Topic)
	cancel()
	if err != nil {
		return err
	}
	unbounded := ctx
	ctx, cancel = context.WithTimeout(ctx, beginTimeout)
	defer cancel()
	if s.topicID, err = s.readTopicID(ctx); err != nil {
		return err
	}
	if s.writer, err = store.Open(ctx, *o, s.key); err != nil {
		return err
	}
	if err := s.refuse(s.writer.State()); err != nil {
		return err
	}
	did := "began"
	if e, known := s.writer.State().Batch(s.batch.ID); known {
		s.entry, did = *e.Batch, "went on"
	} else {
		old, err := s.readOldStatus(ctx)
		if err != nil {
			return err
		}
		if old == nil {
			if err := s.findSentBefore(unbounded, s.writer.State()); err != nil {
				return err
			}
		}
		s.entry = s.newEntry(bounds)
		if old != nil {
			old.carryOver(&s.entry)
			did = "carried over from an older Verdict"
		}
	}
	if s.entry.Ended.IsZero() {
		s.entry.Runs = append(slices.Clone(s.entry.Runs), o.Author.Run)
	}
	if ctx.Err() != nil { // it took long to find what was sent before
		ctx, cancel = context.WithTimeout(unbounded, beginTimeout)
		defer cancel()
	}
	if err := s.register(ctx, did); err != nil {
		return err
	}
	s.ensureFingerprints(ctx)
	if !s.entry.Ended.IsZero() {
		return &AlreadySentError{BatchID: s.batch.ID, At: s.entry.Ended, By: s.entry.Submitter, Size: s.entry.Size}
	}
	return nil
}

// register writes the entry before the first row, so that each row's run is known before
// the row is seen.
func (s *submission) register(ctx context.Context, did string) error {
	for {
		written, err := s.attempt(ctx, s.change(s.entry, did))
		if written || err != nil {
			return err
		}
	}
}

// newEntry returns the entry of a batch that begins now.
func (s *submission) newEntry(bounds map[int]broker.Bound) ledger.Batch {
	author, files := s.options.Ledger.Author, s.batch.Paths()
	b := ledger.Batch{
		Topic: s.options.Topic, TopicID: s.topicID, Size: s.batch.Size(), Content: s.batch.Content,
		Files: files[:min(len(files), maxFiles)], Choices: s.batch.Flags(), Began: time.Now().UTC(), Submitter: author, Stop: s.options.StopAt,
		Begin: make(map[int]int64, len(bounds)),
	}
	for partition, bound := range bounds {
		b.Begin[partition] = bound.End
	}
	if s.options.For != "" {
		b.Approval = &ledger.Approval{To: s.options.For}
	}
	return b
}

// change returns a change that writes an entry of the batch and, if something was done that
// the audit topic has to say, an act.
func (s *submission) change(b ledger.Batch, did string) store.Change {
	c := store.Change{Entries: []store.KeyedEntry{{Key: s.key, Entry: ledger.Entry{Batch: &b}}}}
	if did != "" {
		c.Acts = []ledger.Act{{Key: s.key.In(s.options.Ledger.Group), Details: map[string]string{
			"did": did, "topic": b.Topic, "decisions": strconv.FormatInt(b.Size, 10), "sent": strconv.FormatInt(b.Sent, 10),
		}}}
	}
	return c
}

// readTopicID returns the ID of the batch's topic; empty: Kafka has none.
func (s *submission) readTopicID(ctx context.Context) (string, error) {
	ids, err := s.options.Ledger.Connection.TopicIDs(ctx, s.options.Topic)
	if id := ids[s.options.Topic]; err == nil && id != (broker.TopicID{}) {
		return fmt.Sprintf("%x", id[:]), nil
	}
	return "", err
}
