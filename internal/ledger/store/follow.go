package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/broker"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/retry"
)

// Condition is how the ledger stands.
type Condition string

// The conditions.
const (
	None Condition = "none" // there never was one
	OK   Condition = "ok"   // it is read as it grows
	Lost Condition = "lost" // it was there; what was known of it still counts
)

const (
	unreadable    = 10 * time.Second       // without a good answer, and the ledger is lost
	identifyEvery = 2 * time.Second        // look whether the topic is still the same one
	examineEvery  = 30 * time.Second       // look at its partitions and settings
	doubtFor      = time.Second            // that a topic lacks something, and that counts: it may be on its way
	witnessTime   = time.Minute            // for the audit topic, where signatures count
	tryAgain      = 500 * time.Millisecond // after an error that may be over soon
	lookAgain     = 3 * time.Second        // where there is no ledger, or none that can be used
	refusalsEvery = time.Minute            // a log line
)

// View is what is known of the ledger at one moment.
type View struct {
	Condition Condition
	Why       error         // of Lost
	State     *ledger.State // for the time of the call alone
	Changed   []ledger.Key  // since the call before; nil at the first
}

// Follow reads the ledger from its start and then as it grows, until ctx ends. It calls view
// as soon as it knows how the ledger stands, which takes little more than 10 seconds at most,
// and then on every change. The calls are made one at a time, and reading waits for them.
//
// A ledger that was read is lost if its topic is missing, is not one compacted partition, was
// made again and says nothing yet of what people did, or can't be read for 10 seconds. One
// that was not read yet is lost if its topic is wrong or can't be read, or if it is missing
// or says nothing although the audit topic names acts of the group. While it is lost, what was
// known stays. The records of a topic that was made again apply on top of it.
func Follow(ctx context.Context, o Options, log *slog.Logger, view func(View)) {
	f := &follower{Options: o, log: log, view: view, state: ledger.New(o.Group, o.Trusted), workedAt: time.Now()}
	for ctx.Err() == nil {
		wait := tryAgain
		err := f.step(ctx)
		if ctx.Err() != nil {
			return
		}
		lost, known := errors.AsType[*lostError](err)
		switch {
		case err == nil:
			continue
		case known:
			f.tell(Lost, lost)
			wait = lookAgain
		case errors.Is(err, errNone):
			f.tell(None, nil)
			wait = lookAgain
		case time.Since(f.workedAt) >= unreadable:
			f.tell(Lost, fmt.Errorf("it can't be read: %w", err))
		}
		if retry.Sleep(ctx, wait) != nil {
			return
		}
	}
}

// errNone says that there is no ledger, and never was.
var errNone = errors.New("there is no ledger")

// lostError says why a ledger is lost, although Kafka answers.
type lostError struct{ why error }

func lostf(format string, args ...any) error { return &lostError{fmt.Errorf(format, args...)} }
func (e *lostError) Error() string           { return e.why.Error() }
func (e *lostError) Unwrap() error           { return e.why }

// follower belongs to the goroutine of Follow.
type follower struct {
	Options
	log  *slog.Logger
	view func(View)

	state    *ledger.State
	told     Condition    // the latest that view got; empty: it was not called yet
	changed  []ledger.Key // since then
	wasRead  bool         // it was OK once
	workedAt time.Time    // when Kafka gave a good answer last

	witnessed bool // state knows the signed commands of the audit topic

	attached     bool // the topic was there a moment ago
	begun        bool // what follows is about it
	id           broker.TopicID
	next         int64     // offset to read
	empty        bool      // the latest fetch brought no batch, though there should be one
	said         bool      // it says something of what people did
	doubtSince   time.Time // when it was read to its end and lacked something; zero: it does not
	acts         bool      // the audit topic names acts of the group
	actsKnown    bool      // acts is about now
	identifiedAt time.Time
	examinedAt   time.Time

	refusals    int // since the latest log line
	refusalsDue time.Time
}

// step does the next thing: it finds the topic, or reads on.
func (f *follower) step(ctx context.Context) error {
	follow := ctx
	ctx, cancel := context.WithTimeout(ctx, max(time.Until(f.workedAt.Add(unreadable)), unreadable/2))
	defer cancel()
	if !f.attached || time.Since(f.identifiedAt) >= identifyEvery {
		if err := f.identify(ctx, follow); err != nil {
			f.attached = false
			return err
		}
	}
	atEnd, err := f.read(ctx)
	if err != nil {
		f.attached = false // it may be gone
		return err
	}
	f.workedAt = time.Now()
	if !atEnd {
		return nil
	}
	return f.judge(ctx)
}

// identify finds the topic, and notices if it is not the one that was read. The first time it
// may take long, and has the context of Follow for that.
func (f *follower) identify(ctx, follow context.Context) error {
	ids, err := f.Connection.TopicIDs(ctx, f.Control)
	if errors.Is(err, kafka.TopicAuthorizationFailed) {
		return lostf("the user may not read the control topic %s (kafka.topics.control); grant Read and Describe on it and on %s", f.Control, f.Audit)
	}
	if err != nil {
		return err
	}
	id, exists := ids[f.Control]
	if !exists {
		return f.missing(ctx)
	}
	f.identifiedAt = time.Now()
	if !f.attached || f.identifiedAt.Sub(f.examinedAt) >= examineEvery {
		switch err := Check(ctx, f.Options); {
		case err != nil && (ctx.Err() != nil || errors.Is(err, ErrMissing)):
			return err // it came or went in this moment
		case err != nil:
			return &lostError{err}
		}
		f.examinedAt = f.identifiedAt
	}
	if id != f.id || !f.begun {
		f.begin(id)
	}
	if !f.witnessed {
		within, done := context.WithTimeout(follow, witnessTime)
		defer done()
		if err := witness(within, f.Options, f.state); err != nil {
			return err
		}
		f.witnessed, f.workedAt = true, time.Now()
	}
	f.attached, f.begun = true, true
	return nil
}

// begin begins with the first record of a topic.
func (f *follower) begin(id broker.TopicID) {
	f.id, f.next, f.empty, f.said = id, 0, false, false
	f.doubtSince, f.actsKnown = time.Time{}, false
	f.attached, f.witnessed = false, false
	f.state.Restart()
}

// missing returns what it means that there is no topic.
func (f *follower) missing(ctx context.Context) error {
	f.begun, f.actsKnown = false, false
	if !f.wasRead {
		if err := f.readActs(ctx); err != nil {
			return err
		}
		f.workedAt = time.Now()
		if !f.acts {
			return errNone
		}
	}
	return lostf("the control topic %s does not exist any more; restore it, or have verdict topics make an empty one and hold again what is to be held", f.Control)
}

// read reads on. atEnd reports that nothing that is committed is left.
func (f *follower) read(ctx context.Context) (atEnd bool, err error) {
	fetched, err := f.Connection.Fetch(ctx, broker.FetchRequest{Topic: f.Control, Offset: f.next})
	if errors.Is(err, kafka.OffsetOutOfRange) {
		first, err := f.Connection.Deleted(ctx, f.Control, 0, f.next)
		if errors.Is(err, kafka.OffsetOutOfRange) {
			f.begin(f.id) // it was made again, or lost its end
			return false, nil
		}
		f.next = first
		return false, err
	}
	if err != nil {
		return false, err
	}
	var records []decision.Record
	next, err := fetched.Read(func(rec decision.Record) error {
		records = append(records, rec)
		return nil
	})
	if err != nil {
		return false, err
	}
	for i := range records {
		f.apply(&records[i])
	}
	if next == f.next && next < fetched.Stable {
		// All that follows was compacted away, or a new leader does not know yet what it
		// may return. Only in the first case is the next answer the same.
		if f.empty {
			next = fetched.Stable
		}
		f.empty = !f.empty
	} else {
		f.empty = false
	}
	f.next = next
	return next >= fetched.Stable, nil
}

func (f *follower) apply(rec *decision.Record) {
	key, err := f.state.Apply(rec)
	if rec.Fault != "" {
		err = &ledger.Refused{Key: string(rec.Key), Offset: rec.Offset, Why: errors.New(rec.Fault)}
	}
	switch {
	case err != nil:
		f.refusals++
	case key != ledger.Key{}:
		f.changed = append(f.changed, key)
		f.said = f.said || key.Kind != ledger.KindInstance
	}
	if now := time.Now(); err != nil && !now.Before(f.refusalsDue) {
		f.log.Warn("a record of the control topic counts for nothing", "err", err, "records", f.refusals)
		f.refusals, f.refusalsDue = 0, now.Add(refusalsEvery)
	}
}

// judge says how a ledger stands that was read to its end.
func (f *follower) judge(ctx context.Context) error {
	lost, err := f.lacks(ctx)
	switch {
	case err != nil:
		return err
	case lost == nil:
		f.doubtSince, f.wasRead = time.Time{}, true
		f.tell(OK, nil)
		return nil
	case f.doubtSince.IsZero():
		f.doubtSince = time.Now()
	}
	if time.Since(f.doubtSince) < doubtFor {
		return nil
	}
	return lost
}

// lacks returns what a ledger that was read to its end lacks; nil: nothing.
func (f *follower) lacks(ctx context.Context) (lost, err error) {
	if keys := f.state.Missing(); len(keys) > 0 {
		return lostf("the control topic %s lacks signed commands that the audit topic %s has, such as that of %s %s; restore it",
			f.Control, f.Audit, keys[0].Kind, decision.OneLine(keys[0].Name, 200)), nil
	}
	if f.said {
		return nil, nil
	}
	if !f.state.Blank() {
		return lostf("the control topic %s was made again and is empty; restore it, or hold again what is to be held", f.Control), nil
	}
	if err := f.readActs(ctx); err != nil || !f.acts {
		return nil, err
	}
	return lostf("the control topic %s is empty, but the audit topic %s says that there was something in it; restore it, or hold again what is to be held", f.Control, f.Audit), nil
}

// readActs finds out, once for each topic, whether the audit topic names acts of the group.
func (f *follower) readActs(ctx context.Context) error {
	if f.actsKnown {
		return nil
	}
	f.acts = false
	prefix := ledger.RateKey().In(f.Group)
	prefix = prefix[:strings.IndexByte(prefix, '/')+1]
	err := f.Connection.Scan(ctx, broker.ScanOptions{Topic: f.Audit}, func(rec decision.Record) error {
		if f.acts = strings.HasPrefix(string(rec.Key), prefix); f.acts {
			return broker.ErrStopScan
		}
		return nil
	})
	switch {
	case errors.Is(err, kafka.TopicAuthorizationFailed):
		return lostf("the user may not read the audit topic %s (kafka.topics.audit), which says whether there was a ledger; grant Read and Describe on it and on %s", f.Audit, f.Control)
	case err != nil && !errors.Is(err, broker.ErrNoTopic):
		return err
	}
	f.actsKnown = true
	return nil
}

// tell calls view if there is something new.
func (f *follower) tell(c Condition, why error) {
	if c == f.told && len(f.changed) == 0 {
		return
	}
	changed := f.changed
	if f.told == "" {
		changed = nil
	}
	f.told, f.changed = c, nil
	f.view(View{Condition: c, Why: why, State: f.state, Changed: changed})
}
