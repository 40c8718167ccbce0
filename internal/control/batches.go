package control

import (
	"cmp"
	"context"
	"slices"
	"time"

	"verdict/internal/bulk/follow"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

// BatchState is how far a batch is.
type BatchState string

// The states of a batch. The first that fits counts.
const (
	BatchCancelled BatchState = "cancelled" // what was not begun ends, or ended, as a dead letter
	BatchDone      BatchState = "done"      // all of its decisions are settled
	BatchHeld      BatchState = "held"      // by a person, or by itself at its share of dead letters
	BatchRefused   BatchState = "refused"   // held by an instance, since the API refused all of its last decisions
	BatchWaiting   BatchState = "waiting"   // for approval
	BatchSending   BatchState = "sending"   // its submit, or once approved its approve, has not sent the last decision
	BatchRunning   BatchState = "running"
)

// Batch is a batch as people want to see it. The names of its fields in JSON are stable.
type Batch struct {
	ID           string           `json:"id"`
	State        BatchState       `json:"state"`
	Topic        string           `json:"topic,omitempty"`
	Rows         int64            `json:"rows"` // decisions
	Sent         int64            `json:"sent"`
	Settled      int64            `json:"settled"` // dead-lettered ones among them
	DeadLettered int64            `json:"dead_lettered"`
	Reasons      map[string]int64 `json:"reasons,omitempty"`      // dead letters by reason; none once the result is noted
	PerSecond    float64          `json:"per_second"`             // settled, over the last five minutes
	LeftSeconds  float64          `json:"left_seconds"`           // 0: not known, or nothing is left
	SubmittedBy  string           `json:"submitted_by"`           // actor
	SubmittedAt  *decision.Time   `json:"submitted_at,omitempty"` // of the first decision
	Why          string           `json:"why,omitempty"`          // of the submit
	Files        []string         `json:"files,omitempty"`        // that were submitted
	Redrive      bool             `json:"redrive,omitempty"`      // of dead letters
	FinishedAt   *decision.Time   `json:"finished_at,omitempty"`  // of the last decision
	Order        *Order           `json:"order,omitempty"`        // the latest hold, resume or cancel
}

// Order is who commanded what, when and why.
type Order struct {
	Target  string        `json:"target"`
	Command string        `json:"command"`
	Actor   string        `json:"actor"`
	At      decision.Time `json:"at"`
	Why     string        `json:"why,omitempty"`
}

func orderOf(key ledger.Key, e ledger.Entry) *Order {
	return &Order{Target: Describe(key), Command: e.Command, Actor: e.Actor, At: decision.Time{Time: e.At}, Why: e.Why}
}

// keepShown is how long a batch that is over is shown without being asked for.
const keepShown = 7 * 24 * time.Hour

// Batches returns the batches that are not done, those of the last seven days and, with
// all, the others: the oldest first. It counts what is not noted in the ledger, and notes
// the results of batches that it finds to be done.
func Batches(ctx context.Context, o Options, all bool) ([]Batch, error) {
	s, err := readLedger(ctx, o.Ledger)
	if err != nil {
		return nil, err
	}
	c := counter{options: o}
	return c.batches(ctx, s, func(id string, b *ledger.Batch, now time.Time) bool {
		return all || !over(s, id, b) || now.Sub(b.Began) < keepShown || b.Result != nil && now.Sub(b.Result.At) < keepShown
	})
}

// over reports whether nothing more will come of a batch: it is done, or it was cancelled
// and may never be sent to its end.
func over(s *ledger.State, id string, b *ledger.Batch) bool {
	return b.Result != nil || s.Hold(ledger.HoldBatch(id)).Cancelled != nil
}

// maxRead bounds the time for reading the ledger.
const maxRead = 2 * time.Minute

func readLedger(ctx context.Context, o store.Options) (*ledger.State, error) {
	ctx, cancel := context.WithTimeout(ctx, maxRead)
	defer cancel()
	return store.Read(ctx, o, nil)
}

// counter counts batches, and goes on from there as long as they are the same.
type counter struct {
	options Options
	ids     []string
	several *follow.Several // of the ids; nil: there are none
}

// batches returns those of the batches in the ledger that are wanted.
func (c *counter) batches(ctx context.Context, s *ledger.State, want func(id string, b *ledger.Batch, now time.Time) bool) ([]Batch, error) {
	now := time.Now()
	var wanted []string
	var count []follow.OneOf
	for key, e := range s.Of(ledger.KindBatch) {
		if !want(key.Name, e.Batch, now) {
			continue
		}
		wanted = append(wanted, key.Name)
		if e.Batch.Result == nil {
			count = append(count, oneOf(key.Name, e.Batch))
		}
	}
	slices.SortStableFunc(wanted, func(a, b string) int {
		first, _ := s.Batch(a)
		second, _ := s.Batch(b)
		return first.Batch.Began.Compare(second.Batch.Began)
	})
	if err := c.read(ctx, count); err != nil {
		return nil, err
	}
	batches := make([]Batch, 0, len(wanted))
	for _, id := range wanted {
		e, _ := s.Batch(id)
		var sum follow.Summary
		var last time.Time
		if c.several != nil {
			sum, last = c.several.Summary(id, now)
		}
		if e.Batch.Result == nil && complete(e.Batch, sum) {
			if last.IsZero() { // it has no decisions
				last = e.Batch.Ended
			}
			e.Batch.Result = &ledger.BatchResult{At: last, Settled: sum.Settled, DeadLettered: sum.DeadLettered}
			c.note(ctx, id, e.Batch.Result)
		}
		batches = append(batches, describeBatch(s, id, e.Batch, sum, cmp.Or(rateOf(s, now), c.options.Rate), now))
	}
	return batches, nil
}

// read counts these batches up to now.
func (c *counter) read(ctx context.Context, count []follow.OneOf) error {
	var ids []string
	for _, b := range count {
		ids = append(ids, b.ID)
	}
	if c.several == nil || !slices.Equal(ids, c.ids) {
		c.ids, c.several = ids, nil
		if len(ids) == 0 {
			return nil
		}
		o := &c.options
		topics := o.inputs()
		for _, b := range count {
			if b.Topic != "" && !slices.Contains(topics, b.Topic) {
				topics = append(topics, b.Topic)
			}
		}
		reading := follow.Options{
			Connection: o.Ledger.Connection, Decisions: topics, Results: o.Results, DeadLetters: o.DeadLetters, Decode: o.Decode, WentBack: o.WentBack, Retrying: o.Retrying,
		}
		if o.Progress != nil {
			reading.Progress = func(sum follow.Summary) { o.Progress(sum.Read) }
		}
		c.several = follow.NewSeveral(reading, count)
	}
	return c.several.Read(ctx)
}

func oneOf(id string, b *ledger.Batch) follow.OneOf {
	one := follow.OneOf{ID: id, Began: b.Began, Runs: b.Runs}
	one.Topic, one.Begin = b.Lane()
	if b.FirstEdition { // some of its rows name no run
		one.Runs = nil
	}
	if b.Redrive { // its Topic is that of the dead letters; they went back to where they came from
		one.Topic, one.Begin = "", nil
	}
	return one
}

// complete reports whether all of a batch was sent and is settled.
func complete(b *ledger.Batch, sum follow.Summary) bool {
	sent := !b.Ended.IsZero() && (b.Approval == nil || !b.Approval.Ended.IsZero())
	return sent && sum.Settled >= b.Sent && sum.Settled == sum.Submitted
}

// note writes a batch's result into the ledger, so that it needs not be counted again. The
// batch's submit has ended, so nobody's work is fenced. Without the right to write, or
// without a key where the submit had one, the next call counts again.
func (c *counter) note(ctx context.Context, id string, result *ledger.BatchResult) {
	o := c.options.Ledger
	if o.Author.Actor == "" || o.Trusted.CheckSigner(o.Author.Actor, o.Sign) != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, maxChange)
	defer cancel()
	key := ledger.BatchKey(id)
	w, err := store.Open(ctx, o, key)
	if err != nil {
		return
	}
	e, ok := w.State().Batch(id)
	if !ok || e.Batch.Ended.IsZero() || e.Batch.Result != nil || o.Sign == nil && w.State().Signed(key) {
		return
	}
	b := *e.Batch
	b.Result = result
	_, _ = w.Write(ctx, store.Change{Entries: []store.KeyedEntry{{Key: key, Entry: ledger.Entry{Batch: &b}}}})
}

// describeBatch returns a batch as people want to see it. rate is the group's; 0:
// unlimited.
func describeBatch(s *ledger.State, id string, b *ledger.Batch, sum follow.Summary, rate float64, now time.Time) Batch {
	v := Batch{
		ID: id, State: stateOf(s, id, b, now), Topic: b.Topic, Rows: max(b.Size, sum.Submitted), Sent: b.Sent, Settled: sum.Settled, DeadLettered: sum.DeadLettered,
		PerSecond: sum.Rate, SubmittedBy: b.Submitter.Actor, Why: b.Submitter.Why, Files: b.Files, Redrive: b.Redrive,
	}
	if !b.Began.IsZero() {
		v.SubmittedAt = &decision.Time{Time: b.Began}
	}
	for reason, n := range sum.Reasons {
		if v.Reasons == nil {
			v.Reasons = make(map[string]int64)
		}
		v.Reasons[string(reason)] = n
	}
	if key := ledger.HoldBatch(id); s.Previous(key) >= 0 {
		e, _ := s.Get(key)
		v.Order = orderOf(key, e)
	}
	if r := b.Result; r != nil {
		v.Settled, v.DeadLettered, v.PerSecond = r.Settled, r.DeadLettered, 0
		v.FinishedAt = &decision.Time{Time: r.At}
	}
	if left := v.Rows - v.Settled; left > 0 && (v.State == BatchRunning || v.State == BatchSending) {
		if pace := cmp.Or(v.PerSecond, rate); pace > 0 {
			v.LeftSeconds = float64(left) / pace
		}
	}
	return v
}

func stateOf(s *ledger.State, id string, b *ledger.Batch, now time.Time) BatchState {
	h := s.Hold(ledger.HoldBatch(id))
	switch {
	case h.Cancelled != nil:
		return BatchCancelled
	case b.Result != nil:
		return BatchDone
	case h.Held:
		return BatchHeld
	case refused(s, id, now):
		return BatchRefused
	case b.Approval != nil && b.Approval.By == nil:
		return BatchWaiting
	case b.Ended.IsZero(), b.Approval != nil && b.Approval.Ended.IsZero():
		return BatchSending
	}
	return BatchRunning
}

// refused reports whether an instance holds a batch because the API refuses all of it.
func refused(s *ledger.State, id string, now time.Time) bool {
	for _, e := range instances(s, now) {
		for _, p := range e.Instance.Pauses {
			if p.Cause == string(decision.LanePausedRefused) && p.Batch == id {
				return true
			}
		}
	}
	return false
}

// rateOf returns the group's rate if it is another than the configured one, or else 0.
func rateOf(s *ledger.State, now time.Time) float64 {
	rate, _ := s.Rate(now)
	return rate
}
