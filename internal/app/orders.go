package app

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"verdict/configs"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
	"verdict/processor"
)

const (
	// instanceEvery is the time between two entries of an instance whose facts changed, and
	// instanceAtLeast the same where they did not.
	instanceEvery   = 5 * time.Second
	instanceAtLeast = 30 * time.Second
	// instanceGone is the age of an entry whose instance is no more.
	instanceGone = time.Hour
	// instanceTimeout bounds one try at writing an entry, and at removing it.
	instanceTimeout = 2 * time.Second
	// mostNamed bounds what a status line or a burst of log lines names of what is held.
	mostNamed = 20
)

// orders has the processor obey the ledger, and writes to the ledger how the instance does.
type orders struct {
	options store.Options
	work    *processor.Processor
	status  *statusSource
	log     *slog.Logger
	started time.Time

	known chan struct{} // closed once it is known what to obey
	stops chan processor.Stop

	// The fields below belong to store.Follow's goroutine.
	stands store.Condition // empty: not known yet

	// What is known of instances belongs to the goroutine of tell.
	told   ledger.Instance
	toldAt time.Time // zero: the ledger has no entry of this instance
	failed bool      // the latest try to write it
}

// LedgerStatus is what an instance knows of the ledger.
type LedgerStatus struct {
	Condition store.Condition
	Held      []string // lanes, batches and tasks, such as "batch:spring-review"
	Rate      float64  // ordered until RateUntil; 0: the configured one
	RateUntil time.Time
	gone      []ledger.Key // of instances that wrote nothing for an hour
}

// newOrders returns the orders of an instance, which takes the batches that stop by
// themselves from stops.
func newOrders(cfg configs.Config, s *service, work *processor.Processor, stops chan processor.Stop) (*orders, error) {
	cfg.Control.SignKeyFile = "" // an instance signs nothing
	options, err := Ledger(cfg, s.connection, ledger.Author{Actor: instance(), Host: hostname(), Run: rand.Text(), Command: "run"})
	if err != nil {
		return nil, err
	}
	return &orders{options: options, work: work, status: &s.status, log: s.opts.Log, started: time.Now(), known: make(chan struct{}), stops: stops}, nil
}

// follow obeys the ledger until ctx ends.
func (o *orders) follow(ctx context.Context) error {
	store.Follow(ctx, o.options, o.log, o.see)
	return nil
}

// see obeys what is known of the ledger.
func (o *orders) see(v store.View) {
	now := time.Now()
	first, changed := o.stands == "", v.Condition != o.stands
	ordered := o.noteChanges(v)
	if first || ordered {
		o.work.Obey(v.State.Orders(now))
	}
	if changed {
		o.stands = v.Condition
		o.work.LedgerLost(v.Condition == store.Lost)
		o.logCondition(v)
	}
	if first || changed || ordered || o.status.ledger.Load() == nil {
		o.status.ledger.Store(statusOf(v, now))
	} else if gone := goneInstances(v, now); len(gone) > 0 {
		st := *o.status.ledger.Load()
		st.gone = gone
		o.status.ledger.Store(&st)
	}
	if first {
		close(o.known)
	}
}

// noteChanges logs what people changed of the orders, and reports whether they did.
func (o *orders) noteChanges(v store.View) (ordered bool) {
	logged := 0
	for _, key := range v.Changed {
		if key.Kind == ledger.KindBatch {
			ordered = true // it may have another run
		}
		if key.Kind != ledger.KindHold && key.Kind != ledger.KindRate {
			continue
		}
		ordered = true
		e, _ := v.State.Get(key)
		by := []any{"actor", e.Actor, "command", e.Command, "why", decision.OneLine(e.Why, 300)}
		if logged++; logged > mostNamed {
			continue
		}
		switch {
		case e.Rate != nil:
			o.log.Info("somebody changed the rate", append(by, "per_second", e.Rate.PerSecond, "until", e.Rate.Until)...)
		case e.Hold != nil:
			o.log.Info("somebody changed what is held", append(by, "of", decision.OneLine(key.Name, 300), "held", e.Hold.Held, "cancelled", e.Hold.Cancelled != nil)...)
		}
	}
	for _, key := range v.Changed {
		if key.Kind == ledger.KindHold && !v.State.Hold(key).Held {
			o.work.Resumed(key)
		}
	}
	return ordered
}

// logCondition says how the ledger stands now.
func (o *orders) logCondition(v store.View) {
	switch v.Condition {
	case store.None:
		o.log.Info("there is no control topic: holds, cancels and rates by command are off (verdict topics creates it)", "topic", o.options.Control)
	case store.OK:
		o.log.Info("obeying the ledger", "topic", o.options.Control)
	case store.Lost:
		o.log.Error("the ledger is lost; backfill makes no calls until it is back, and what is known to be held stays held",
			"pause", string(decision.LanePausedLedger), "topic", o.options.Control, "err", v.Why)
	}
}

// statusOf returns the status of the ledger.
func statusOf(v store.View, now time.Time) *LedgerStatus {
	st := &LedgerStatus{Condition: v.Condition, gone: goneInstances(v, now)}
	var others []string
	for key, e := range v.State.Of(ledger.KindHold) {
		switch what, name, _ := strings.Cut(key.Name, "/"); {
		case !e.Hold.Held:
		case what == "lane":
			st.Held = append(st.Held, decision.OneLine(name, 200))
		default:
			others = append(others, decision.OneLine(what+":"+name, 200))
		}
	}
	st.Held = append(st.Held, others...)
	st.Rate, st.RateUntil = v.State.Rate(now)
	return st
}

// goneInstances returns the keys of the instances that wrote nothing for an hour.
func goneInstances(v store.View, now time.Time) (gone []ledger.Key) {
	for key, e := range v.State.Of(ledger.KindInstance) {
		if now.Sub(e.At) > instanceGone {
			gone = append(gone, key)
		}
	}
	return gone
}

// held returns what is held, such as "backfill,batch:spring-review".
func (l *LedgerStatus) held() string {
	if more := len(l.Held) - mostNamed; more > 0 {
		return strings.Join(l.Held[:mostNamed], ",") + fmt.Sprintf(",and %d more", more)
	}
	return orNone(l.Held)
}

// rate returns the ordered rate at a time; 0: there is none.
func (l *LedgerStatus) rate(now time.Time) float64 {
	if !l.RateUntil.IsZero() && !now.Before(l.RateUntil) {
		return 0
	}
	return l.Rate
}

// tell writes to the ledger how the instance does, until ctx ends, and removes that then.
// There is one writer for each entry, so it needs no transaction.
func (o *orders) tell(ctx context.Context) error {
	ticker := time.NewTicker(instanceEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			o.tellOnce(ctx)
		case <-ctx.Done():
			if !o.toldAt.IsZero() {
				if err := o.append(context.WithoutCancel(ctx), ledger.InstanceKey(o.options.Author.Actor), nil); err != nil {
					o.log.Debug("removing the instance from the ledger failed", "err", err)
				}
			}
			return nil
		}
	}
}

// tellOnce writes the instance's entry if it is time, and removes those that are too old.
func (o *orders) tellOnce(ctx context.Context) {
	l := o.status.ledger.Load()
	if l == nil || l.Condition != store.OK {
		return // in an empty topic an entry would look like a ledger
	}
	now := time.Now()
	own := ledger.InstanceKey(o.options.Author.Actor)
	is := o.status.status().instance(o.started)
	if since := now.Sub(o.toldAt); since < instanceAtLeast && sameFacts(&is, &o.told) {
		return
	}
	e := ledger.Entry{At: now, Author: o.options.Author, Instance: &is}
	value, err := e.Encode(o.options.Group, own)
	if err == nil {
		err = o.append(ctx, own, value)
	}
	for _, key := range l.gone {
		if err == nil && key != own {
			err = o.append(ctx, key, nil)
		}
	}
	if err == nil {
		o.told, o.toldAt = is, now
	} else if !o.failed && ctx.Err() == nil {
		o.log.Warn("writing to the ledger how this instance does failed; verdict status will not show it (it needs the right to write to the control topic)",
			"topic", o.options.Control, "err", err)
	}
	o.failed = err != nil
}

func (o *orders) append(ctx context.Context, key ledger.Key, value []byte) error {
	ctx, cancel := context.WithTimeout(ctx, instanceTimeout)
	defer cancel()
	_, err := o.options.Connection.Append(ctx, o.options.Control, 0, []decision.Record{{Key: []byte(key.In(o.options.Group)), Value: value}})
	return err
}

// instance returns the status as an instance writes it to the ledger.
func (s *Status) instance(started time.Time) ledger.Instance {
	is := ledger.Instance{
		Started: started, Version: Build().Version, Status: s.String(), Ready: s.NotReady() == "",
		Partitions: s.Partitions, Backlog: make(map[string]int64),
	}
	for _, lane := range decision.Lanes {
		is.Backlog[lane.String()] = s.Backlog[lane]
	}
	w := s.Work
	if w == nil {
		return is
	}
	is.InFlight, is.RateUsed = w.InFlight, hundredths(w.RateUsed)
	if allowed := w.RateAllowed; allowed < maxRate {
		is.RateLimit = hundredths(allowed)
	}
	for _, p := range w.Pauses {
		is.Pauses = append(is.Pauses, ledger.Pause{Cause: string(p.Cause), Since: p.Since})
	}
	for _, lane := range decision.Lanes {
		for _, p := range w.Lanes[lane].Pauses {
			if p.Cause == decision.LanePausedRefused {
				refused := w.Lanes[lane].Refused
				for _, batch := range refused[:min(len(refused), mostNamed)] {
					is.Pauses = append(is.Pauses, ledger.Pause{Cause: string(p.Cause), Lane: lane.String(), Batch: decision.OneLine(batch, decision.MaxBatchIDLength), Since: p.Since})
				}
				continue
			}
			is.Pauses = append(is.Pauses, ledger.Pause{Cause: string(p.Cause), Lane: lane.String(), Since: p.Since})
		}
	}
	return is
}

// maxRate is more calls a second than can be.
const maxRate = 1e9

// sameFacts reports whether two entries say the same, apart from what always changes: ages
// and what was used.
func sameFacts(a, b *ledger.Instance) bool {
	same := a.Ready == b.Ready && a.Partitions == b.Partitions && a.InFlight == b.InFlight && a.RateLimit == b.RateLimit
	for lane, n := range a.Backlog {
		same = same && b.Backlog[lane] == n
	}
	return same && slices.Equal(a.Pauses, b.Pauses)
}
