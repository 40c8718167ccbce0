package backfill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"verdict/internal/broker"
	"verdict/internal/decision"
)

// ExplainOptions say where a decision is looked for.
type ExplainOptions struct {
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

// EventKind is what happened to a decision.
type EventKind string

// The kinds of events.
const (
	EventSubmitted    EventKind = "submitted"
	EventRedriven     EventKind = "redriven" // a copy of a dead letter was put back
	EventSettled      EventKind = "settled"  // with a result
	EventDeadLettered EventKind = "dead_lettered"
	EventPending      EventKind = "pending" // no end of it was found
)

// Event is one thing that happened to a decision, as a record says it.
type Event struct {
	Time       decision.Time    `json:"time"`
	Kind       EventKind        `json:"event"`
	Place      decision.Origin  `json:"place"`  // of the record that says it
	Origin     decision.Origin  `json:"origin"` // of the decision's record
	DecisionID string           `json:"decision_id,omitempty"`
	ProfileID  string           `json:"profile_id,omitempty"`
	TaskID     string           `json:"task_id,omitempty"`
	State      decision.State   `json:"state,omitempty"`
	Outcome    decision.Outcome `json:"outcome,omitempty"`
	Reason     decision.Reason  `json:"reason,omitempty"` // of a dead letter
	Error      string           `json:"error,omitempty"`
	Attempts   int              `json:"attempts,omitempty"`
	HTTPStatus int              `json:"http_status,omitempty"`
	Redrives   int              `json:"redrives,omitempty"`
	Source     string           `json:"source,omitempty"`
	Why        string           `json:"why,omitempty"` // the decision's own reason
	BatchID    string           `json:"batch_id,omitempty"`
	BatchLine  int64            `json:"batch_line,omitempty"`
	Note       string           `json:"note,omitempty"`
}

// Explanation is what was found.
type Explanation struct {
	Events []Event // by their times
	Looked int64   // records that were read
	More   bool    // there are more than maxEvents
}

// maxEvents bounds the events of an Explanation.
const maxEvents = 10000

// ErrNothingKnown is the error of Explain for what no record speaks of.
var ErrNothingKnown = errors.New("nothing was found")

// Explain says what happened to a decision, or to all those on a task. The subject
// is the ID of a decision, PROFILE/TASK, or the place topic/partition/offset of a
// decision's record, which is the ID of a decision without one of its own.
func Explain(ctx context.Context, o ExplainOptions, subject string) (Explanation, error) {
	if o.Retrying == nil {
		o.Retrying = func(error) {}
	}
	e := &explainer{o: o, id: subject, origins: make(map[decision.Origin]struct{}), ended: make(map[decision.Origin]bool)}
	if profile, task, ok := strings.Cut(subject, "/"); ok && decision.ValidID(profile) && decision.ValidID(task) {
		e.task = decision.NewTask(profile, task)
	}
	for _, topic := range append([]string{o.Results, o.DeadLetters}, o.Decisions...) {
		if _, err := boundsOf(ctx, o.Connection, topic); err != nil {
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
		return e.found, ErrNothingKnown
	}
	if err := e.pending(ctx); err != nil {
		return e.found, err
	}
	slices.SortStableFunc(e.found.Events, func(a, b Event) int { return a.Time.Compare(b.Time.Time) })
	return e.found, nil
}

// explainer is one Explain. It belongs to one goroutine.
type explainer struct {
	o       ExplainOptions
	id      string
	task    decision.Task // zero: not one of a task
	origins map[decision.Origin]struct{}
	ended   map[decision.Origin]bool
	found   Explanation
}

func (e *explainer) scan(ctx context.Context, topic string, each func(*decision.Record)) error {
	return e.o.Connection.Scan(ctx, broker.ScanOptions{Topic: topic, Since: e.o.Since, Retrying: e.o.Retrying}, func(rec decision.Record) error {
		e.found.Looked++
		each(&rec)
		return nil
	})
}

// lookUp reads the record at a place. The search then begins at its time, less
// what clocks may differ by.
func (e *explainer) lookUp(ctx context.Context, at decision.Origin) error {
	e.origins[at] = struct{}{}
	bounds, err := boundsOf(ctx, e.o.Connection, at.Topic)
	if err != nil {
		return err
	}
	if _, ok := bounds[at.Partition]; !ok {
		return nil // it is an ID that only looks like a place
	}
	return e.o.Connection.Scan(ctx, broker.ScanOptions{
		Topic: at.Topic, Partitions: []int{at.Partition}, Retrying: e.o.Retrying,
		Offsets: map[int]int64{at.Partition: at.Offset}, Ends: map[int]int64{at.Partition: min(at.Offset+1, bounds[at.Partition].End)},
	}, func(rec decision.Record) error {
		e.found.Looked++
		if early := rec.Time.Add(-hourOfSkew); e.o.Since.IsZero() || early.Before(e.o.Since) {
			e.o.Since = early
		}
		return nil
	})
}

func (e *explainer) add(ev Event) {
	if len(e.found.Events) == maxEvents {
		e.found.More = true
		return
	}
	e.found.Events = append(e.found.Events, ev)
}

// about says whether a decision is the one, or on the task, that is asked for.
func (e *explainer) about(id string, task decision.Task, at decision.Origin) bool {
	if e.task != (decision.Task{}) && task == e.task {
		return true
	}
	_, known := e.origins[at]
	return known || id == e.id
}

func (e *explainer) decision(rec *decision.Record) {
	d, err := decision.Decode(rec) // whatever its faults
	first, copied := decision.RedrivenOrigin(rec)
	_, again := e.origins[first]
	if !e.about(d.ID, d.Task, rec.Origin()) && !(copied && again) {
		return
	}
	e.origins[rec.Origin()] = struct{}{}
	place, _ := decision.BatchPlaceOf(rec.Headers)
	ev := Event{
		Time: decision.Time{Time: rec.Time}, Kind: EventSubmitted, Place: rec.Origin(), Origin: rec.Origin(), DecisionID: d.ID,
		ProfileID: d.Task.ProfileID, TaskID: d.Task.TaskID, State: d.State, Redrives: decision.Redrives(rec), Source: d.Source, Why: d.Reason,
		BatchID: cmp.Or(place.ID, d.BatchID), BatchLine: place.Line,
	}
	if from, ok := decision.RedrivenFrom(rec); ok {
		ev.Kind, ev.Note = EventRedriven, "from the dead letter "+from.String()
	}
	if err != nil {
		ev.Note = strings.TrimPrefix(ev.Note+"; invalid: "+decision.OneLine(err.Error(), 300), "; ")
	}
	e.add(ev)
}

func (e *explainer) result(rec *decision.Record) {
	r, err := decision.ParseResult(rec.Value)
	if err != nil || !e.about(r.DecisionID, decision.NewTask(r.ProfileID, r.TaskID), r.Origin) {
		return
	}
	e.ended[r.Origin] = true
	e.add(Event{
		Time: or(r.CompletedAt, rec.Time), Kind: EventSettled, Place: rec.Origin(), Origin: r.Origin, DecisionID: r.DecisionID,
		ProfileID: r.ProfileID, TaskID: r.TaskID, State: r.State, Outcome: r.Outcome, Attempts: r.Attempts, HTTPStatus: r.HTTPStatus,
		Source: r.Source, Why: r.Reason, BatchID: r.BatchID,
	})
}

func (e *explainer) deadLetter(rec *decision.Record) {
	l, err := decision.ParseDeadLetter(rec)
	if err != nil {
		return
	}
	d, _ := decision.Decode(&l.Original)
	id := cmp.Or(l.DecisionID, d.ID)
	if !e.about(id, d.Task, l.Original.Origin()) {
		return
	}
	e.ended[l.Original.Origin()] = true
	place, _ := decision.BatchPlaceOf(l.Original.Headers)
	e.add(Event{
		Time: or(l.FailedAt, rec.Time), Kind: EventDeadLettered, Place: rec.Origin(), Origin: l.Original.Origin(), DecisionID: id,
		ProfileID: d.Task.ProfileID, TaskID: d.Task.TaskID, State: d.State, Reason: l.Reason, Error: l.Error, Attempts: l.Attempts,
		HTTPStatus: l.HTTPStatus, Redrives: l.Redrives, Source: d.Source, Why: d.Reason,
		BatchID: cmp.Or(place.ID, d.BatchID), BatchLine: place.Line,
	})
}

func or(t decision.Time, other time.Time) decision.Time {
	if t.IsZero() {
		return decision.Time{Time: other}
	}
	return t
}

// pending adds an event for each decision of which no end was found, with how far
// the group is from it.
func (e *explainer) pending(ctx context.Context) error {
	committed := make(map[string]map[int]broker.GroupOffset)
	for _, ev := range e.found.Events {
		if ev.Kind != EventSubmitted && ev.Kind != EventRedriven || e.ended[ev.Origin] {
			continue
		}
		at := ev.Origin
		if committed[at.Topic] == nil && e.o.Group != "" {
			ctx, cancel := context.WithTimeout(ctx, firstAnswer)
			offsets, err := e.o.Connection.GroupOffsets(ctx, e.o.Group, at.Topic)
			cancel()
			if err != nil {
				return err
			}
			committed[at.Topic] = offsets
		}
		ev.Kind, ev.Time = EventPending, decision.Time{Time: time.Now()}
		ev.Note = e.distance(at, committed[at.Topic])
		e.add(ev)
	}
	return nil
}

// distance says how far the group is from a decision.
func (e *explainer) distance(at decision.Origin, committed map[int]broker.GroupOffset) string {
	group, ok := committed[at.Partition]
	switch {
	case e.o.Group == "":
		return "neither a result nor a dead letter was found"
	case !ok:
		return fmt.Sprintf("group %s has committed nothing in %s/%d: does verdict run?", e.o.Group, at.Topic, at.Partition)
	case group.Offset > at.Offset:
		return fmt.Sprintf("group %s has committed it, and neither a result nor a dead letter was found: deleted by retention?", e.o.Group)
	default:
		return fmt.Sprintf("group %s has committed %s/%d up to offset %d, %d before it", e.o.Group, at.Topic, at.Partition, group.Offset, at.Offset-group.Offset)
	}
}
