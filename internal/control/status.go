package control

import (
	"context"
	"time"

	"verdict/internal/broker"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/retry"
)

// Status is a consumer group at a glance. The names of its fields in JSON are stable.
type Status struct {
	At          decision.Time    `json:"at"`
	Group       string           `json:"group"`
	Ledger      string           `json:"ledger"` // "ok", or why it is not there or can't be read
	Lanes       []LaneStatus     `json:"lanes"`
	Pauses      []PauseStatus    `json:"pauses"` // of the instances at work
	Holds       []Order          `json:"holds"`  // in force, without those of batches that the ledger knows
	Rate        RateStatus       `json:"rate"`
	Batches     []Batch          `json:"batches"`      // not over
	DeadLetters map[string]int64 `json:"dead_letters"` // of the last hour, by reason
	Instances   []InstanceStatus `json:"instances"`
}

// LaneStatus is what waits in a lane's topic.
type LaneStatus struct {
	Lane    string `json:"lane"`
	Topic   string `json:"topic"`
	Lag     int64  `json:"lag"`             // records beyond the committed offsets
	Backlog int64  `json:"backlog"`         // of them, those that are not settled
	Error   string `json:"error,omitempty"` // why it is not known
}

// PauseStatus is a pause, and how many instances make it.
type PauseStatus struct {
	Cause     string        `json:"cause"`
	Lane      string        `json:"lane,omitempty"`  // empty: all
	Batch     string        `json:"batch,omitempty"` // that is refused; empty: all of the lane
	Since     decision.Time `json:"since"`           // of the first
	Instances int           `json:"instances"`
}

// RateStatus are calls a second.
type RateStatus struct {
	Configured float64        `json:"configured"`          // 0: unlimited
	Set        float64        `json:"set,omitempty"`       // by verdict rate; 0: nothing is
	Until      *decision.Time `json:"until,omitempty"`     // when that ends by itself
	Order      *Order         `json:"order,omitempty"`     // that set it
	Allowed    float64        `json:"allowed"`             // that the instances may make now
	Unlimited  bool           `json:"unlimited,omitempty"` // one of them has no limit
	Used       float64        `json:"used"`
}

// InstanceStatus is what an instance said of itself last.
type InstanceStatus struct {
	ID         string        `json:"id"`
	Host       string        `json:"host"`
	Seen       decision.Time `json:"seen"`
	Gone       bool          `json:"gone"` // for so long that it is not at work
	Started    decision.Time `json:"started"`
	Version    string        `json:"version"`
	Ready      bool          `json:"ready"`
	Partitions int           `json:"partitions"`
	InFlight   int           `json:"in_flight"`
	Status     string        `json:"status"`
}

// Watcher reads the status of a group again and again. Each time it reads what is new in
// the topics, and the ledger from its beginning. It belongs to one goroutine.
type Watcher struct {
	options Options
	counter counter
	letters recentLetters
}

// NewWatcher returns a Watcher.
func NewWatcher(o Options) *Watcher {
	return &Watcher{options: o, counter: counter{options: o}, letters: recentLetters{counts: make(map[int64]map[string]int64)}}
}

// Watch shows the status again and again until ctx ends, which is no error. It waits out
// errors but the first: they are passed to failed.
func (w *Watcher) Watch(ctx context.Context, every time.Duration, show func(*Status) error, failed func(error)) error {
	for first := true; ; first = false {
		st, err := w.Read(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && first:
			return err
		case err != nil:
			failed(err)
		default:
			if err := show(st); err != nil {
				return err
			}
		}
		if retry.Sleep(ctx, every) != nil {
			return nil
		}
	}
}

// Read returns the status now.
func (w *Watcher) Read(ctx context.Context) (*Status, error) {
	o := &w.options
	now := time.Now()
	st := &Status{
		At: decision.Time{Time: now}, Group: o.Ledger.Group, Ledger: "ok", Rate: RateStatus{Configured: o.Rate},
		Lanes: []LaneStatus{}, Pauses: []PauseStatus{}, Holds: []Order{}, Batches: []Batch{}, Instances: []InstanceStatus{},
	}
	s, unread := readLedger(ctx, o.Ledger)
	if unread != nil {
		if _, _, err := broker.Partitions(ctx, o.Ledger.Connection.Client(), o.inputs()...); err != nil {
			return nil, unread // it is not the ledger's fault
		}
		st.Ledger, s = unread.Error(), ledger.New(o.Ledger.Group, nil)
	}
	st.addLedger(s, now)
	for _, lane := range o.Lanes {
		st.Lanes = append(st.Lanes, o.readLane(ctx, lane))
	}
	var err error
	if st.DeadLetters, err = w.letters.read(ctx, o, now); err != nil {
		return nil, err
	}
	st.Batches, err = w.counter.batches(ctx, s, func(id string, b *ledger.Batch, _ time.Time) bool { return !over(s, id, b) })
	return st, err
}

// addLedger adds what the ledger says without reading other topics.
func (st *Status) addLedger(s *ledger.State, now time.Time) {
	for key, e := range s.Of(ledger.KindInstance) {
		i := e.Instance
		gone := now.Sub(e.At) >= fresh
		st.Instances = append(st.Instances, InstanceStatus{
			ID: key.Name, Host: e.Host, Seen: decision.Time{Time: e.At}, Gone: gone, Started: decision.Time{Time: i.Started}, Version: i.Version,
			Ready: i.Ready, Partitions: i.Partitions, InFlight: i.InFlight, Status: i.Status,
		})
		if gone {
			continue
		}
		st.Rate.Used += i.RateUsed
		st.Rate.Allowed += i.RateLimit
		st.Rate.Unlimited = st.Rate.Unlimited || i.RateLimit == 0
		for _, p := range i.Pauses {
			st.addPause(p)
		}
	}
	for key, e := range s.Of(ledger.KindHold) {
		_, listed := s.Batch(batchOf(key))
		if e.Hold.Held && !listed {
			st.Holds = append(st.Holds, *orderOf(key, e))
		}
	}
	if rate, until := s.Rate(now); rate > 0 {
		st.Rate.Set = rate
		if !until.IsZero() {
			st.Rate.Until = &decision.Time{Time: until}
		}
		e, _ := s.Get(ledger.RateKey())
		st.Rate.Order = orderOf(ledger.RateKey(), e)
	}
}

func (st *Status) addPause(p ledger.Pause) {
	for i := range st.Pauses {
		if has := &st.Pauses[i]; has.Cause == p.Cause && has.Lane == p.Lane && has.Batch == p.Batch {
			has.Instances++
			if p.Since.Before(has.Since.Time) {
				has.Since.Time = p.Since
			}
			return
		}
	}
	st.Pauses = append(st.Pauses, PauseStatus{Cause: p.Cause, Lane: p.Lane, Batch: p.Batch, Since: decision.Time{Time: p.Since}, Instances: 1})
}
