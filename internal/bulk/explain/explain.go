package explain

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"verdict/internal/broker"
	"verdict/internal/bulk/topicread"
	"verdict/internal/decision"
	"verdict/internal/ledger/store"
)

// Options say where to search.
type Options struct {
	// Connection reaches the cluster. Required.
	Connection *broker.Connection
	// Decisions are the topics from which decisions are read. Required.
	Decisions []string
	// Held is the topic in which batches wait for approval. It may be missing. Empty: not
	// searched.
	Held string
	// Results and DeadLetters are the topics in which decisions end. Required.
	Results, DeadLetters string
	// Group is the consumer group that carries decisions out. Its committed offsets show
	// how far it is from a pending decision. Empty: not looked up.
	Group string
	// Lanes are the lanes of Decisions. Required with Ledger.
	Lanes map[string]decision.Lane
	// Ledger says where the ledger is, and the audit topic. Nil: neither is read.
	Ledger *store.Options
	// MaxBackoff is the longest time between two attempts, an API that asks for more and
	// pauses apart. Zero: not known.
	MaxBackoff time.Duration
	// Since skips records whose timestamps are older. A decision named by its place is
	// found whatever its age, with everything after it. Zero: read all that the topics
	// hold.
	Since time.Time
	// Decode reads a decision; with an error, what can be read of it. Nil: decision.Decode,
	// which reads JSON and CloudEvents.
	Decode func(rec *decision.Record) (decision.Decision, error)
	// Retrying is called with each error that is retried. Nil: not wanted.
	Retrying func(err error)
}

// Explanation is what Explain found.
type Explanation struct {
	Events []Event // in chronological order
	Read   int64   // records read
	More   bool    // there are more than maxEvents
	Behind []Behind
	// Ledger is why the ledger, the audit topic or Held could not be read; nil: what there is
	// of them was. Otherwise what people did may be missing in Events.
	Ledger error
}

// Behind is records of a partition that can't be read yet, as they wait behind a
// producer's open transaction.
type Behind struct {
	From    decision.Position // the first of them
	Records int64
}

// maxEvents bounds the events of an Explanation.
const maxEvents = 10000

// ErrNotFound reports that no record is about the subject.
var ErrNotFound = errors.New("found no record about it")

// Explain finds what happened to a decision, or to all decisions on a task or a profile. The
// subject is the ID of a decision, of a task or of a profile, PROFILE/TASK, or
// topic/partition/offset: the place of a decision's record, which is also the ID of a decision
// without one of its own. IDs of tasks and profiles are compared without regard to case.
func Explain(ctx context.Context, o Options, subject string) (Explanation, error) {
	if o.Retrying == nil {
		o.Retrying = func(error) {}
	}
	if o.Decode == nil {
		o.Decode = decision.Decode
	}
	s := &search{options: o, id: subject, origins: make(map[decision.Position]decision.Fingerprint), ended: make(map[decision.Position]bool)}
	if profile, task, ok := strings.Cut(subject, "/"); ok && decision.ValidID(profile) && decision.ValidID(task) {
		s.task = decision.NewTask(profile, task)
	}
	if decision.ValidID(subject) {
		s.alone = strings.ToLower(subject)
	}
	err := s.run(ctx)
	return s.found, err
}

// run searches all topics, the decisions first, so that results and dead letters are
// recognised by their decisions.
func (s *search) run(ctx context.Context) error {
	o := &s.options
	for _, topic := range append([]string{o.Results, o.DeadLetters}, o.Decisions...) {
		if _, err := topicread.Bounds(ctx, o.Connection, topic); err != nil {
			return err
		}
	}
	if at, ok := decision.ParsePosition(s.id); ok && slices.Contains(o.Decisions, at.Topic) {
		if err := s.startAt(ctx, at); err != nil {
			return err
		}
	}
	for _, topic := range o.Decisions {
		if err := s.scan(ctx, topic, s.addDecision); err != nil {
			return err
		}
		if err := s.addBehind(ctx, topic); err != nil {
			return err
		}
	}
	if err := s.scanHeld(ctx); err != nil {
		return err
	}
	if err := s.scan(ctx, o.Results, s.addResult); err != nil {
		return err
	}
	if err := s.addSettled(ctx); err != nil {
		return err
	}
	if err := s.scan(ctx, o.DeadLetters, s.addDeadLetter); err != nil {
		return err
	}
	if len(s.found.Events) == 0 {
		return ErrNotFound
	}
	if err := s.addPending(ctx); err != nil {
		return err
	}
	if err := s.addLedger(ctx); err != nil {
		if ctx.Err() != nil {
			return err
		}
		s.found.Ledger = errors.Join(s.found.Ledger, err)
	}
	s.addWaiting()
	slices.SortStableFunc(s.found.Events, func(a, b Event) int { return a.Time.Compare(b.Time.Time) })
	return nil
}
