package backfill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"verdict/internal/broker"
	"verdict/internal/decision"
)

// FollowOptions say which batch is followed, and where.
type FollowOptions struct {
	// Connection reaches the cluster. Required.
	Connection *broker.Connection
	// BatchID is the batch. Required.
	BatchID string
	// Decisions are the topics that the batch's decisions may be in. Required.
	Decisions []string
	// Results and DeadLetters are the topics that they end in. Required.
	Results, DeadLetters string
	// Since bounds the search: older records are not looked at, by their
	// timestamps. Zero means all that the topics hold.
	Since time.Time
	// Once looks once and waits for nothing.
	Once bool
	// Timeout bounds the waiting; what is known then is returned, as with Once.
	// 0 means until all are settled.
	Timeout time.Duration
	// Poll is the time between two looks; 0 means 1s.
	Poll time.Duration
	// Report is written one CSV row for each decision at the end; nil: none.
	Report io.Writer
	// Progress is told, while records are read and after each look, how the batch
	// stands; nil: nobody asks. It must be quick.
	Progress func(FollowSum)
	// Retrying is told what fails and is tried again; nil: nobody asks.
	Retrying func(err error)
}

// FollowSum is how a batch stands. Each decision counts once, by its latest fate:
// one that was redriven is unsettled until its last copy is settled.
type FollowSum struct {
	// Size is the number of decisions that the batch has by its own word; 0: it
	// does not say, and then Submitted is all that was found.
	Size int64
	// Submitted is the number of decisions that were found.
	Submitted int64
	// Outcomes are those settled with a result; Reasons those dead-lettered. What a
	// newer version may have written counts as "other".
	Outcomes map[decision.Outcome]int64
	Reasons  map[decision.Reason]int64
	// Completed and DeadLettered sum up: every settled one is in one of them.
	Settled, DeadLettered int64
	// Missing are those without a result or a dead letter: submitted and not
	// settled, or said to be in the batch and not found.
	Missing int64
	// NotFound are those of Missing that were not found among the decisions.
	NotFound int64
	// Redriven are the decisions that were redriven at least once.
	Redriven int64
	// Again are records that repeat another of the batch, and are not counted.
	Again int64
	// Rate is decisions settled in a second, of late; 0: not known yet.
	Rate float64
	// Left is the time left by Rate; 0: not known.
	Left time.Duration
	// Read is the number of records that were looked at so far.
	Read int64
	// Open are the first of those that were found and are not settled, at most
	// MaxOpen. Only at the end.
	Open []OpenDecision
}

// MaxOpen is how many unsettled decisions a FollowSum lists.
const MaxOpen = 20

// OpenDecision is a decision of a batch that is not settled.
type OpenDecision struct {
	ID     string
	Line   int64 // 0: not known
	Origin decision.Origin
}

// Done says whether every decision of the batch is settled.
func (s *FollowSum) Done() bool { return s.Missing == 0 && s.Submitted > 0 }

// ErrNoBatch is the error for a batch of which nothing was found.
var ErrNoBatch = errors.New("no decision, result or dead letter of this batch was found")

// otherName is the name of an outcome or reason that this version does not know.
const otherName = "other"

// Follow watches a batch until all of its decisions are settled, and says how they
// ended. It reads the topics from their beginning or from Since, leaves nothing
// behind in Kafka, and can be started at any time, on any machine. Memory: about a
// byte for each decision (see ledger).
//
// If ctx ends before, it returns what is known with ctx's error.
func Follow(ctx context.Context, o FollowOptions) (FollowSum, error) {
	o.Poll = cmp.Or(o.Poll, time.Second)
	if o.Progress == nil {
		o.Progress = func(FollowSum) {}
	}
	if o.Retrying == nil {
		o.Retrying = func(error) {}
	}
	f := &follower{o: o, ledger: newLedger(), at: make(map[string]map[int]int64), others: make(map[string]struct{})}
	err := f.watch(ctx)
	if err != nil && ctx.Err() == nil {
		return f.sum(), err
	}
	if err == nil {
		err = f.report(ctx)
	}
	sum := f.sum()
	sum.Open = f.open
	return sum, err
}

// follower is one Follow. It belongs to one goroutine.
type follower struct {
	o      FollowOptions
	ledger *ledger
	at     map[string]map[int]int64 // how far each topic was read, by partition
	size   int64
	read   int64
	others map[string]struct{} // batches that were seen beside, a few
	recent []string            // them, in the order of their appearance
	open   []OpenDecision
	pace   []paceMark
	told   time.Time
	looked bool // Kafka answered once, so that an outage is waited out
}

// watch looks again and again until everything is settled or time is up.
func (f *follower) watch(ctx context.Context) error {
	var timeout <-chan time.Time
	if f.o.Timeout > 0 {
		timer := time.NewTimer(f.o.Timeout)
		defer timer.Stop()
		timeout = timer.C
	}
	ticker := time.NewTicker(f.o.Poll)
	defer ticker.Stop()
	for {
		if err := f.look(ctx); err != nil {
			return err
		}
		if f.ledger.members == 0 {
			return f.noBatch()
		}
		f.keepPace()
		sum := f.sum()
		f.o.Progress(sum)
		if sum.Done() || f.o.Once {
			return nil
		}
		select {
		case <-ticker.C:
		case <-timeout:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// look reads what came since the last look. The ends of results and dead letters
// are taken before those of the decisions, so that each of them finds its decision
// in the ledger.
func (f *follower) look(ctx context.Context) error {
	ends := make(map[string]map[int]broker.Bound)
	topics := append([]string{f.o.Results, f.o.DeadLetters}, f.o.Decisions...)
	for _, topic := range topics {
		bounds, err := boundsOf(ctx, f.o.Connection, topic)
		for f.looked && errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			f.o.Retrying(err)
			bounds, err = boundsOf(ctx, f.o.Connection, topic)
		}
		if err != nil {
			return err
		}
		ends[topic] = bounds
	}
	f.looked = true
	for _, topic := range f.o.Decisions {
		if err := f.scan(ctx, topic, ends[topic], f.submitted); err != nil {
			return err
		}
	}
	if err := f.scan(ctx, f.o.Results, ends[f.o.Results], f.result); err != nil {
		return err
	}
	return f.scan(ctx, f.o.DeadLetters, ends[f.o.DeadLetters], f.deadLetter)
}

// firstAnswer is how long a command waits for Kafka to answer at all: a wrong
// address is to be said, and not to be waited for.
const firstAnswer = 30 * time.Second

// boundsOf is Connection.Bounds, bounded by firstAnswer.
func boundsOf(ctx context.Context, c *broker.Connection, topic string) (map[int]broker.Bound, error) {
	ctx, cancel := context.WithTimeout(ctx, firstAnswer)
	defer cancel()
	return c.Bounds(ctx, topic)
}

// scan reads a topic from where it was read to these ends.
func (f *follower) scan(ctx context.Context, topic string, bounds map[int]broker.Bound, each func(*decision.Record)) error {
	o := broker.ScanOptions{Topic: topic, Since: f.o.Since, Offsets: f.at[topic], Ends: make(map[int]int64), Retrying: f.o.Retrying}
	for partition, b := range bounds {
		o.Ends[partition] = b.End
		if at, ok := f.at[topic][partition]; !ok && b.First < b.End || ok && at < b.End {
			o.Partitions = append(o.Partitions, partition)
		}
	}
	if len(o.Partitions) > 0 {
		if err := f.o.Connection.Scan(ctx, o, func(rec decision.Record) error {
			f.read++
			each(&rec)
			if now := time.Now(); now.Sub(f.told) >= f.o.Poll {
				f.told = now
				f.o.Progress(f.sum())
			}
			return nil
		}); err != nil {
			return err
		}
	}
	f.at[topic] = o.Ends
	return nil
}

// rescan reads again what scan has read up to these ends.
func (f *follower) rescan(ctx context.Context, topic string, ends map[int]int64, each func(*decision.Record) error) error {
	o := broker.ScanOptions{Topic: topic, Since: f.o.Since, Ends: ends, Retrying: f.o.Retrying, Partitions: slices.Collect(maps.Keys(ends))}
	return f.o.Connection.Scan(ctx, o, func(rec decision.Record) error { return each(&rec) })
}

// submitted looks at a record of a topic of decisions.
func (f *follower) submitted(rec *decision.Record) {
	place, named := f.place(rec)
	if !named {
		return
	}
	if first, ok := decision.RedrivenOrigin(rec); ok {
		f.ledger.redriven(rec.Origin(), redrivenCopy{of: first, redrives: max(decision.Redrives(rec), 1)})
		return
	}
	f.ledger.submitted(rec.Origin(), place.Line)
}

// place is a record's place in the batch, if it is of it: by its headers, or else
// by its value.
func (f *follower) place(rec *decision.Record) (decision.BatchPlace, bool) {
	place, ok := decision.BatchPlaceOf(rec.Headers)
	if ok {
		if place.ID != f.o.BatchID {
			f.other(place.ID)
			if d, _ := decision.Decode(rec); d.BatchID == f.o.BatchID {
				f.ledger.set(rec.Origin(), foreign) // its result will name this batch
			}
			return place, false
		}
		f.size = max(f.size, place.Size)
		return place, true
	}
	d, _ := decision.Decode(rec) // whatever its faults, it may name its batch
	if d.BatchID != f.o.BatchID {
		f.other(d.BatchID)
		return place, false
	}
	return decision.BatchPlace{ID: d.BatchID}, true
}

// maxOthers is how many other batches are remembered for a message.
const maxOthers = 5

func (f *follower) other(id string) {
	if id = decision.OneLine(id, decision.MaxBatchIDLength); id == "" {
		return
	}
	if _, known := f.others[id]; known {
		return
	}
	if len(f.recent) == maxOthers {
		delete(f.others, f.recent[0])
		f.recent = f.recent[1:]
	}
	f.others[id] = struct{}{}
	f.recent = append(f.recent, id)
}

func (f *follower) noBatch() error {
	seen := "no other batch is there either"
	if len(f.recent) > 0 {
		seen = fmt.Sprintf("others are there, the last of them: %s", strings.Join(f.recent, ", "))
	}
	since := ""
	if !f.o.Since.IsZero() {
		since = fmt.Sprintf(" since %s (look further back with --since)", decision.Time{Time: f.o.Since})
	}
	return fmt.Errorf("batch %q: %w in %s%s; %s", f.o.BatchID, ErrNoBatch, strings.Join(append(slices.Clone(f.o.Decisions), f.o.Results, f.o.DeadLetters), ", "), since, seen)
}

// result looks at a record of the topic of results.
func (f *follower) result(rec *decision.Record) {
	r, err := decision.ParseResult(rec.Value)
	if err != nil || r.Origin.Topic == "" || r.Origin.Offset < 0 {
		return // not ours to judge
	}
	if r.BatchID == f.o.BatchID {
		f.claim(r.Origin)
	}
	f.ledger.fate(r.Origin, settledCode(r.Outcome))
}

// deadLetter looks at a record of the topic of dead letters.
func (f *follower) deadLetter(rec *decision.Record) {
	d, err := decision.ParseDeadLetter(rec)
	if err != nil {
		return
	}
	origin := d.Original.Origin()
	if f.ledger.code(origin) == unknown {
		if _, copied := f.ledger.copies[origin]; !copied {
			if _, named := f.place(&d.Original); named {
				f.claim(origin)
			}
		}
	}
	f.ledger.fate(origin, deadCode(d.Reason))
}

// claim takes a decision in that is known by its end alone: retention has deleted
// its record, or it is in a form that was not understood here.
func (f *follower) claim(origin decision.Origin) {
	_, copied := f.ledger.copies[origin]
	if !copied && f.ledger.code(origin) == unknown && slices.Contains(f.o.Decisions, origin.Topic) {
		f.ledger.set(origin, unsettled)
	}
}

func (f *follower) sum() FollowSum {
	l := f.ledger
	s := FollowSum{
		Size: f.size, Submitted: l.members, Settled: l.settled(), Redriven: int64(len(l.latest)), Again: l.again, Read: f.read,
		Outcomes: make(map[decision.Outcome]int64), Reasons: make(map[decision.Reason]int64),
	}
	for i, outcome := range decision.Outcomes {
		add(s.Outcomes, outcome, l.counts[settledAs+code(i)])
	}
	add(s.Outcomes, otherName, l.counts[settledOther])
	for i, reason := range decision.Reasons {
		add(s.Reasons, reason, l.counts[deadAs+code(i)])
		s.DeadLettered += l.counts[deadAs+code(i)]
	}
	add(s.Reasons, otherName, l.counts[deadOther])
	s.DeadLettered += l.counts[deadOther]
	s.NotFound = max(s.Size-s.Submitted, 0)
	s.Missing = l.counts[unsettled] + s.NotFound
	s.Rate, s.Left = f.rate(s.Missing)
	return s
}

func add[K comparable](to map[K]int64, key K, n int64) {
	if n > 0 {
		to[key] = n
	}
}

// paceMark is how many were settled at a time.
type paceMark struct {
	at      time.Time
	settled int64
}

// paceOver is the time over which the rate is taken.
const paceOver = time.Minute

// keepPace notes where the batch stands after a look. The first look is the first
// mark: what was settled before says nothing of the rate now.
func (f *follower) keepPace() {
	now := time.Now()
	f.pace = append(f.pace, paceMark{now, f.ledger.settled()})
	for len(f.pace) > 2 && now.Sub(f.pace[1].at) >= paceOver {
		f.pace = f.pace[1:]
	}
}

func (f *follower) rate(missing int64) (rate float64, left time.Duration) {
	if len(f.pace) < 2 {
		return 0, 0
	}
	first, last := f.pace[0], f.pace[len(f.pace)-1]
	seconds := last.at.Sub(first.at).Seconds()
	if seconds <= 0 || last.settled <= first.settled {
		return 0, 0
	}
	rate = float64(last.settled-first.settled) / seconds
	const most = 365 * 24 * time.Hour
	return rate, time.Duration(min(float64(missing)/rate*float64(time.Second), float64(most)))
}
