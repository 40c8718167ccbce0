package explain

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"verdict/internal/broker"
	"verdict/internal/bulk/topicread"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

// readTimeout bounds the reading of the ledger and of the audit topic.
const readTimeout = 2 * time.Minute

// addLedger adds what people did to the decisions that were found, and what holds those that
// are pending. That there is no ledger or no audit topic is no error.
func (s *search) addLedger(ctx context.Context) error {
	o := s.options.Ledger
	if o == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	// Before Read, which waits for an answer without an end of its own.
	if _, err := topicread.Bounds(ctx, o.Connection, o.Control); err != nil && !errors.Is(err, broker.ErrNoTopic) {
		return err
	}
	state, err := store.Read(ctx, *o, nil)
	if errors.Is(err, store.ErrMissing) {
		state, err = ledger.New(o.Group, o.Trusted), nil // the audit topic may still be there
	}
	if err != nil {
		return err
	}
	l := &ledgerSearch{search: s, state: state, batches: make(map[string]string)}
	for key, e := range state.Of(ledger.KindBatch) {
		for _, run := range e.Batch.Runs {
			l.batches[run] = key.Name
		}
	}
	s.moved = l.moved
	l.doubtRedrives()
	err = errors.Join(l.markDismissed(ctx), l.addCommands(ctx))
	l.addOrders()
	return err
}

// ledgerSearch looks in the ledger for the decisions that a search found.
type ledgerSearch struct {
	*search
	state   *ledger.State
	batches map[string]string // IDs, by the runs that wrote their records
	// letters is the key of acts on the topic of dead letters as a whole, which dismiss some of
	// them; dismissed is the time of the first letter that is dismissed, zero if none is.
	letters   ledger.Key
	dismissed time.Time
}

// batchOf returns the batch of an event's record: the one that its run belongs to. Where the
// ledger does not know the batch that the record names, as with one of the first edition, it
// is that one.
func (l *ledgerSearch) batchOf(ev *Event) string {
	if id, ok := l.batches[ev.Run]; ok && ev.Run != "" {
		return id
	}
	if _, known := l.state.Batch(ev.BatchID); !known {
		return ev.BatchID
	}
	return ""
}

// doubtRedrives notes which records say that they are redriven, and were sent by no redrive
// that the ledger knows: by one of the first edition, or by a producer that writes what it
// likes.
func (l *ledgerSearch) doubtRedrives() {
	for i := range l.found.Events {
		ev := &l.found.Events[i]
		if e, ok := l.state.Batch(l.batchOf(ev)); ev.Kind == EventRedriven && !l.state.Empty() && !(ok && e.Batch.Redrive) {
			ev.Note += "; the ledger knows no redrive that sent it"
		}
	}
}

// moved returns up to where the batch of an event was moved.
func (l *ledgerSearch) moved(ev *Event) map[int]int64 {
	e, ok := l.state.Batch(l.batchOf(ev))
	if !ok || e.Batch.Approval == nil || e.Batch.Approval.By == nil {
		return nil
	}
	return e.Batch.Approval.Moved
}

// markDismissed marks the dead letters that somebody has dealt with.
func (l *ledgerSearch) markDismissed(ctx context.Context) error {
	id, err := store.TopicID(ctx, l.options.Connection, l.options.DeadLetters)
	if err != nil && !errors.Is(err, broker.ErrNoTopic) {
		return err
	}
	l.letters = ledger.Key{Kind: ledger.KindRedrive, Name: id}
	for i := range l.found.Events {
		ev := &l.found.Events[i]
		if ev.Kind != EventDeadLettered {
			continue
		}
		e, ok := l.state.Get(ledger.WindowKey(l.letters.Name, ev.Place.Partition, ev.Place.Offset/ledger.WindowSize))
		at := ev.Place.Offset % ledger.WindowSize
		if ok && at/8 < int64(len(e.Window.Dismissed)) && e.Window.Dismissed[at/8]&(1<<(at%8)) != 0 {
			ev.Dismissed = true
			if l.dismissed.IsZero() || ev.Time.Before(l.dismissed) {
				l.dismissed = ev.Time.Time
			}
		}
	}
	return nil
}

// span is from when to when commands may have touched the decisions.
type span struct{ from, to time.Time }

// keys returns the keys under which commands touched the decisions, and which of them are
// about more than the decisions: lanes and tasks. Commands on these count in the span.
func (l *ledgerSearch) keys() (own, shared map[ledger.Key]bool, during span) {
	own, shared = make(map[ledger.Key]bool), make(map[ledger.Key]bool)
	for i := range l.found.Events {
		ev := &l.found.Events[i]
		if id := l.batchOf(ev); id != "" {
			own[ledger.BatchKey(id)], own[ledger.HoldBatch(id)] = true, true
		}
		if lane, ok := l.options.Lanes[ev.Origin.Topic]; ok {
			shared[ledger.HoldLane(lane)] = true
		}
		if ev.TaskID != "" {
			shared[ledger.HoldTask(decision.NewTask(ev.ProfileID, ev.TaskID))] = true
		}
		if during.from.IsZero() || ev.Time.Before(during.from) {
			during.from = ev.Time.Time
		}
		if ev.Time.After(during.to) {
			during.to = ev.Time.Time
		}
	}
	return own, shared, during
}

// addCommands adds the acts that touched the decisions. A lane or a task that was already
// held when the first record was written is held by the act before.
func (l *ledgerSearch) addCommands(ctx context.Context) error {
	o := l.options.Ledger
	if _, err := topicread.Bounds(ctx, o.Connection, o.Audit); errors.Is(err, broker.ErrNoTopic) {
		return nil
	} else if err != nil {
		return err
	}
	own, shared, during := l.keys()
	before := make(map[ledger.Key]Event)
	err := o.Connection.Scan(ctx, broker.ScanOptions{Topic: o.Audit, Retrying: l.options.Retrying}, func(rec decision.Record) error {
		act, err := ledger.DecodeAct(rec.Value)
		if err != nil {
			return nil //nolint:nilerr // somebody else wrote it; verdict audit counts these
		}
		key, ok := ledger.ParseKey(o.Group, act.Key)
		if !ok {
			return nil
		}
		ev := Event{
			Time: decision.Time{Time: act.At}, Kind: EventCommand, Place: rec.Origin(), Key: nameOf(key), Command: act.Command,
			Actor: act.Actor, Host: act.Host, Why: act.Why, Run: act.Run, Note: detailsOf(act.Details),
		}
		switch {
		case own[key], key == l.letters && !l.dismissed.IsZero() && act.At.After(l.dismissed):
			l.addEvent(ev)
		case !shared[key] || act.At.After(during.to):
		case act.At.Before(during.from):
			before[key] = ev
		default:
			l.addEvent(ev)
		}
		return nil
	})
	for _, ev := range before {
		if ev.Command == "hold" {
			l.addEvent(ev)
		}
	}
	return err
}

// addOrders adds what holds pending decisions now.
func (l *ledgerSearch) addOrders() {
	now := decision.Time{Time: time.Now()}
	pending := false
	for _, ev := range slices.Clone(l.found.Events) {
		if ev.Kind != EventPending {
			continue
		}
		pending = true
		id := l.batches[ev.Run]
		keys := []ledger.Key{ledger.HoldTask(decision.NewTask(ev.ProfileID, ev.TaskID))}
		if lane, ok := l.options.Lanes[ev.Origin.Topic]; ok {
			keys = append(keys, ledger.HoldLane(lane))
		}
		if ev.Run != "" && id != "" {
			keys = append(keys, ledger.HoldBatch(id))
		}
		for _, key := range keys {
			e, ok := l.state.Get(key)
			if !ok {
				continue
			}
			is := l.left(key, &e, now)
			is.Origin, is.DecisionID, is.ProfileID, is.TaskID = ev.Origin, ev.DecisionID, ev.ProfileID, ev.TaskID
			if e.Hold.Held {
				is.Kind = EventHeld
				l.addEvent(is)
			}
			if ev.Origin.Offset < e.Hold.Cancelled[ev.Origin.Topic][ev.Origin.Partition] {
				is.Kind = EventCancelled
				l.addEvent(is)
			}
		}
	}
	rate, until := l.state.Rate(now.Time)
	if e, ok := l.state.Get(ledger.RateKey()); ok && pending && rate > 0 {
		is := l.left(ledger.RateKey(), &e, now)
		is.Kind, is.Note = EventRate, fmt.Sprintf("the group makes at most %v calls per second", rate)
		if !until.IsZero() {
			is.Note += " until " + decision.Time{Time: until}.String()
		}
		l.addEvent(is)
	}
}

// left returns the event of what an entry of the ledger left, without its kind.
func (l *ledgerSearch) left(key ledger.Key, e *ledger.Entry, now decision.Time) Event {
	return Event{
		Time: now, Place: decision.Position{Topic: l.options.Ledger.Control, Offset: l.state.Previous(key)}, Key: nameOf(key),
		Command: e.Command, Actor: e.Actor, Host: e.Host, Why: e.Why, Run: e.Run, Since: decision.Time{Time: e.At},
	}
}

// nameOf returns a key without its group.
func nameOf(key ledger.Key) string {
	if key.Name == "" {
		return string(key.Kind)
	}
	return string(key.Kind) + "/" + key.Name
}

// detailsOf returns what a command adds in words, in a stable order.
func detailsOf(details map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(details)) {
		parts = append(parts, name+": "+details[name])
	}
	return decision.OneLine(strings.Join(parts, "; "), decision.MaxTextSize)
}
