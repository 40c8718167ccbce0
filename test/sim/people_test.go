package sim_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
	"verdict/internal/passfort"
)

// actKind is what a person does by a command.
type actKind uint8

const (
	holdLane    actKind = iota // and resumes it
	holdBatch                  // the same
	holdTask                   // the same
	cancel                     // a batch
	orderRate                  // for a while
	deleteTopic                // of the ledger, which is made again as it was
)

const actKinds = int(deleteTopic) + 1

func (k actKind) String() string {
	return [...]string{"hold lane", "hold batch", "hold task", "cancel batch", "rate", "ledger deleted"}[k]
}

// act is something that a person does, and takes back after a while.
type act struct {
	kind  actKind
	at    time.Duration
	span  time.Duration
	lane  decision.Lane
	batch string
	task  decision.Task
	rate  float64

	// Set by the run: from when on every member has to obey, until when, and the ends that a
	// cancel noted.
	obeyed, until time.Time
	ends          map[int]int64
}

// drawActs draws what people do. It has a stream of its own, so that the rest of the plan does
// not depend on it. A key of the ledger has one act at most.
func (p *plan) drawActs(length time.Duration) {
	r := rand.New(rand.NewPCG(p.seed, 0xac75))
	if r.IntN(2) == 0 {
		return
	}
	seen := make(map[string]bool)
	for range 1 + r.IntN(5) {
		a := act{kind: actKind(r.IntN(actKinds)), at: between(r, 0, length), span: between(r, 2*time.Second, 4*time.Minute), lane: decision.Lane(r.IntN(2)), batch: fmt.Sprint("batch-", 1+r.IntN(2))}
		a.task = p.sends[r.IntN(len(p.sends))].task
		a.rate = p.rate * (0.2 + 0.8*r.Float64())
		key := a.kind.String()
		switch a.kind {
		case holdLane:
			key += a.lane.String()
		case holdBatch, cancel:
			key = a.batch
		case holdTask:
			key += a.task.TaskID
		case orderRate, deleteTopic:
		}
		if a.kind == deleteTopic && slices.ContainsFunc(p.faults, func(f fault) bool { return f.kind == peopleRedrive }) {
			continue // what went back would be forgotten with it
		}
		if !seen[key] {
			seen[key] = true
			p.acts = append(p.acts, a)
		}
	}
	slices.SortFunc(p.acts, func(a, b act) int { return cmp.Compare(a.at, b.at) })
}

// runOf returns the run that sends the decisions of a batch; empty: they are in none.
func runOf(s *send) string {
	if s.batch == "" {
		return ""
	}
	return "run of " + s.batch
}

// key returns the key that an act writes.
func (a *act) key() ledger.Key {
	switch a.kind {
	case holdLane:
		return ledger.HoldLane(a.lane)
	case holdBatch, cancel:
		return ledger.HoldBatch(a.batch)
	case holdTask:
		return ledger.HoldTask(a.task)
	case orderRate, deleteTopic:
	}
	return ledger.RateKey()
}

// beginLedger makes the ledger, with the batches, where people use it.
func (w *world) beginLedger() {
	if len(w.plan.acts) == 0 {
		return
	}
	for _, batch := range []string{"batch-1", "batch-2"} {
		w.entries[ledger.BatchKey(batch)] = ledger.Entry{Batch: &ledger.Batch{Topic: w.cfg.Kafka.Topics.Backfill, Runs: []string{"run of " + batch}}}
	}
	w.writeLedger()
}

// writeLedger writes all that is in the ledger once more.
func (w *world) writeLedger() {
	for key, e := range w.entries {
		w.writeEntry(key, e)
	}
}

// writeEntry writes an entry of the ledger. Like a person, it tries until it is done.
func (w *world) writeEntry(key ledger.Key, e ledger.Entry) {
	t := w.cfg.Kafka.Topics
	o := store.Options{Connection: w.client, Control: t.Control, Audit: t.Audit, Group: w.cfg.Kafka.GroupID, Author: ledger.Author{Actor: "ops", Run: "people", Command: "hold"}}
	try := func() error {
		ctx, done := context.WithTimeout(w.t.Context(), 30*time.Second)
		defer done()
		writer, err := store.Open(ctx, o, key)
		if err == nil {
			_, err = writer.Write(ctx, store.Change{Entries: []store.KeyedEntry{{Key: key, Entry: e}}, Acts: []ledger.Act{{Key: key.In(o.Group)}}})
		}
		return err
	}
	for err := try(); err != nil; err = try() {
		if w.t.Context().Err() != nil {
			w.t.Fatal(err)
		}
		time.Sleep(time.Second)
	}
	w.entries[key] = e
}

// beginAct does what a person does.
func (w *world) beginAct(a *act) {
	if a.kind == deleteTopic {
		if err := w.kafka.DeleteTopic(w.cfg.Kafka.Topics.Control); err != nil {
			w.t.Fatal(err)
		}
		w.ledgerGone, a.obeyed = true, time.Now().Add(5*time.Second)
		return
	}
	if w.ledgerGone {
		return // a command would say so
	}
	e := w.entries[a.key()]
	switch a.kind {
	case orderRate:
		e.Rate = &ledger.Rate{PerSecond: a.rate, Until: w.began.Add(a.at + a.span)}
	case cancel:
		if w.away[w.cfg.Kafka.Topics.Backfill] {
			return
		}
		ends, err := w.client.LogEnds(w.t.Context(), w.cfg.Kafka.Topics.Backfill)
		if err != nil {
			return
		}
		a.ends = ends
		e.Hold = &ledger.Hold{Cancelled: map[string]map[int]int64{w.cfg.Kafka.Topics.Backfill: ends}}
	case holdLane, holdBatch, holdTask:
		e.Hold = &ledger.Hold{Held: true}
	case deleteTopic:
	}
	w.writeEntry(a.key(), e)
	a.obeyed = time.Now().Add(time.Second)
}

// endAct takes back what a person did.
func (w *world) endAct(a *act) {
	a.until = time.Now()
	switch a.kind {
	case deleteTopic:
		w.ledgerGone = false
		w.writeLedger()
	case holdLane, holdBatch, holdTask:
		if a.obeyed.IsZero() {
			return
		}
		w.entries[a.key()] = ledger.Entry{Hold: &ledger.Hold{}}
		if !w.ledgerGone { // else it is written when the ledger is back
			w.writeEntry(a.key(), w.entries[a.key()])
		}
	case cancel, orderRate:
	}
}

// disobeyed finds calls that began although people held what they are about, or had cancelled
// it, for more than a second, and rates above the ordered one.
func (h *history) disobeyed() (all []violation) {
	for i := range h.plan.acts {
		a := &h.plan.acts[i]
		if a.obeyed.IsZero() || h.disturbed(a) {
			continue
		}
		calls := 0
		for _, c := range h.calls {
			task := decision.NewTask(c.ProfileID, c.TaskID)
			if c.Time.Before(a.obeyed) || a.kind != cancel && !c.Time.Before(a.until) || c.Operation == passfort.OpWhoAmI || c.Operation == passfort.OpListTasks {
				continue
			}
			if calls++; a.kind != orderRate && h.concerns(a, task) {
				all = append(all, violationf("%v of %v at %v, though since %v there is %v %v %s", c.Operation, task, c.Time, a.obeyed, a.kind, a.lane, a.batch))
			}
		}
		if most := a.rate*a.until.Sub(a.obeyed).Seconds() + float64(h.burst*(1+h.joins)); a.kind == orderRate && float64(calls) > most {
			all = append(all, violationf("%d calls from %v to %v, with a rate of %v", calls, a.obeyed, a.until, a.rate))
		}
	}
	return all
}

// unheard are the faults during which a member may not reach the ledger.
var unheard = []faultKind{kafkaLeaders, kafkaCoordinators, kafkaAway, memberCutOff, memberCrashes}

// disturbed reports whether an act came while a member may not have reached the ledger.
func (h *history) disturbed(a *act) bool {
	const around = 15 * time.Second
	from, until := a.at, a.at+a.span
	for _, f := range h.plan.faults {
		if slices.Contains(unheard, f.kind) && f.at < until+around && f.until() > from-around {
			return true
		}
	}
	return a.kind != deleteTopic && slices.ContainsFunc(h.plan.acts, func(b act) bool { // who joins then knows of no hold
		return b.kind == deleteTopic && b.at < until+around && b.at+b.span > from-around
	})
}

// concerns reports whether an act is about all decisions on a task.
func (h *history) concerns(a *act, task decision.Task) bool {
	concerned := false
	for at, s := range h.sent {
		if s.task != task {
			continue
		}
		switch a.kind {
		case holdLane:
			concerned = s.lane == a.lane
		case deleteTopic:
			concerned = s.lane == decision.Backfill
		case holdTask:
			concerned = task == a.task
		case holdBatch:
			concerned = s.batch == a.batch && s.form == alone
		case cancel: // and none was begun before
			concerned = s.batch == a.batch && s.form == alone && at.Offset < a.ends[at.Partition] && !s.gone && !s.again && !h.begun(task, a.obeyed)
		case orderRate:
		}
		if !concerned {
			return false
		}
	}
	return concerned
}

// begun reports whether a decision on a task was begun before a time.
func (h *history) begun(task decision.Task, before time.Time) bool {
	for _, c := range h.calls {
		if c.Time.Before(before) && decision.NewTask(c.ProfileID, c.TaskID) == task {
			return true
		}
	}
	return false
}

// mayBeCancelled reports whether a record was sent before its batch was cancelled.
func (h *history) mayBeCancelled(at decision.Position, s *send) bool {
	return slices.ContainsFunc(h.plan.acts, func(a act) bool {
		return a.kind == cancel && a.batch == s.batch && s.form == alone && at.Offset < a.ends[at.Partition]
	})
}
