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
)

// Options say where a decision is looked for.
type Options struct {
	// Connection reaches the cluster. Required.
	Connection *broker.Connection
	// Decisions are the topics that decisions are read from. Required.
	Decisions []string
	// Results and DeadLetters are the topics that they end in. Required.
	Results, DeadLetters string
	// Group is the consumer group that carries decisions out; what it has
	// committed says how far away a pending decision is. Empty: not looked at.
	Group string
	// Since bounds the search, by the records' timestamps; zero means all that the
	// topics hold. A decision that is named by its place is found whatever its
	// time, and then what came after it.
	Since time.Time
	// Retrying is told what fails and is tried again; nil: nobody asks.
	Retrying func(err error)
}

// Explanation is what was found.
type Explanation struct {
	Events []Event // by their times
	Read   int64   // records that were read
	More   bool    // there are more than maxEvents
}

// maxEvents bounds the events of an Explanation.
const maxEvents = 10000

// ErrNotFound is the error of Explain for what no record speaks of.
var ErrNotFound = errors.New("nothing was found")

// Explain says what happened to a decision, or to all those on a task. The subject
// is the ID of a decision, PROFILE/TASK, or the place topic/partition/offset of a
// decision's record, which is the ID of a decision without one of its own.
func Explain(ctx context.Context, o Options, subject string) (Explanation, error) {
	if o.Retrying == nil {
		o.Retrying = func(error) {}
	}
	e := &explainer{o: o, id: subject, origins: make(map[decision.Origin]struct{}), ended: make(map[decision.Origin]bool)}
	if profile, task, ok := strings.Cut(subject, "/"); ok && decision.ValidID(profile) && decision.ValidID(task) {
		e.task = decision.NewTask(profile, task)
	}
	for _, topic := range append([]string{o.Results, o.DeadLetters}, o.Decisions...) {
		if _, err := topicread.Bounds(ctx, o.Connection, topic); err != nil {
			return e.found, err
		}
	}
	if at, ok := decision.ParseOrigin(subject); ok && slices.Contains(o.Decisions, at.Topic) {
		if err := e.lookUp(ctx, at); err != nil {
			return e.found, err
		}
	}
	for _, topic := range o.Decisions {
		if err := e.scan(ctx, topic, e.decision); err != nil {
			return e.found, err
		}
	}
	if err := e.scan(ctx, o.Results, e.result); err != nil {
		return e.found, err
	}
	if err := e.scan(ctx, o.DeadLetters, e.deadLetter); err != nil {
		return e.found, err
	}
	if len(e.found.Events) == 0 {
		return e.found, ErrNotFound
	}
	if err := e.pending(ctx); err != nil {
		return e.found, err
	}
	slices.SortStableFunc(e.found.Events, func(a, b Event) int { return a.Time.Compare(b.Time.Time) })
	return e.found, nil
}
