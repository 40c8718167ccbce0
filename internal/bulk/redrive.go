package backfill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"golang.org/x/time/rate"

	"verdict/internal/broker"
	"verdict/internal/decision"
)

// RedriveOptions say which dead letters go back, and how.
type RedriveOptions struct {
	// Connection reaches the cluster. Required.
	Connection *broker.Connection
	// DeadLetters is the topic of the dead letters. Required.
	DeadLetters string
	// Targets are the topics that a dead letter may go back to. One that names
	// another is refused, since whoever can write dead letters could else let
	// Verdict write anything anywhere. Required.
	Targets []string
	// AnyTopic lets a dead letter go back to any topic that there is.
	AnyTopic bool
	// Group is the service's consumer group, by which the redrive's own are named.
	Group string
	// Filter chooses among the dead letters; its zero value means all.
	Filter RedriveFilter
	// Limit is the largest number that goes back; 0 means all.
	Limit int64
	// Rate is how many go back in a second; 0 means as fast as Kafka takes them.
	Rate float64
	// MaxRedrives is how often a decision may be redriven; one that was so often
	// stays. 0 means 3.
	MaxRedrives int
	// Edit is a JSON merge patch (RFC 7386) for each value; nil means none.
	Edit []byte
	// Held is asked before each dead letter goes back whether it still may; nil
	// means always. See RedriveLock.
	Held func(context.Context) error
	// Refused is told each dead letter that was chosen and can't go back, and
	// why; nil: nobody asks. It is called once for each by Survey.
	Refused func(RefusedLetter)
	// Progress is told now and then how many were looked at, and how many went
	// back; nil: nobody asks.
	Progress func(looked, redriven int64)
	// Retrying is told what fails and is tried again; nil: nobody asks. Calls are
	// made by several goroutines.
	Retrying func(err error)
}

// Refusal is why a dead letter can't go back.
type Refusal string

// The refusals.
const (
	OverMax     Refusal = "over_max_redrives"
	NoValue     Refusal = "without_value"
	OtherTopic  Refusal = "other_topic"
	NotEditable Refusal = "not_editable"
	NotReadable Refusal = "not_readable"
)

// RefusedLetter is a dead letter that was chosen and can't go back.
type RefusedLetter struct {
	Letter     decision.Origin // its place among the dead letters
	DecisionID string          // empty: not known
	Why        Refusal
	Detail     string
}

// Survey is what a redrive finds before it begins.
type Survey struct {
	Looked   int64 // dead letters that are there
	Chosen   int64 // that the filter chooses and that can go back
	Already  int64 // that the filter chooses and that went back before
	Refused  map[Refusal]int64
	ByReason map[decision.Reason]int64 // of Chosen
	ByError  map[string]int64          // of Chosen: their errors, with numbers and IDs as #
	Examples map[string]string         // by the keys of ByError: the first, as texts go, of the errors it stands for
	ByTopic  map[string]int64          // of Chosen: where they go
}

// maxErrors is how many different errors a Survey tells apart.
const maxErrors = 1000

// OtherErrors is what a Survey calls the errors that it does not tell apart.
const OtherErrors = "(other errors)"

// Redrive sends dead letters back to the topics that they came from, each once.
//
// What went back is committed (see redriveSet), after Kafka acknowledged it. A
// redrive that ends in between, by kill -9 too, leaves copies behind that no commit
// speaks of; so each begins by reading what the target topics got since the last
// one noted their ends, and takes the word of the copies' headers. Where there is
// no note, as Kafka drops commits without a member after
// offsets.retention.minutes, the target topics are read since the oldest dead
// letter.
//
// It belongs to one goroutine, and no two may work on one topic at a time; see RedriveLock.
type Redrive struct {
	o      RedriveOptions
	bounds map[int]broker.Bound // of the dead letters, at the start
	exist  map[string]bool      // which targets there are
	set    *redriveSet
	noted  map[string]map[int]int64 // the ends of the targets at the last note
}

// hourOfSkew is by how much the clocks of those who write records may differ.
const hourOfSkew = time.Hour

// NewRedrive looks at what was redriven before.
func NewRedrive(ctx context.Context, o RedriveOptions) (*Redrive, error) {
	o.MaxRedrives = cmp.Or(o.MaxRedrives, 3)
	if o.Held == nil {
		o.Held = func(context.Context) error { return nil }
	}
	if o.Refused == nil {
		o.Refused = func(RefusedLetter) {}
	}
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	if o.Retrying == nil {
		o.Retrying = func(error) {}
	}
	r := &Redrive{o: o, exist: make(map[string]bool), noted: make(map[string]map[int]int64), set: newRedriveSet(RedriveGroup(o.Group), o.DeadLetters)}
	var err error
	if r.bounds, err = boundsOf(ctx, o.Connection, o.DeadLetters); err != nil {
		return nil, err
	}
	if err := r.set.load(ctx, o.Connection, r.bounds); err != nil {
		return nil, err
	}
	if o.AnyTopic {
		if err := r.findTopics(ctx); err != nil {
			return nil, err
		}
	}
	return r, r.recover(ctx)
}

// RedriveGroup is the consumer group that holds what was redriven; group is the
// service's own.
func RedriveGroup(group string) string { return group + "-redrive" }

// scan reads the dead letters that there were at the start.
func (r *Redrive) scan(ctx context.Context, each func(*decision.Record) error) error {
	ends := make(map[int]int64, len(r.bounds))
	for partition, b := range r.bounds {
		ends[partition] = b.End
	}
	since := r.o.Filter.Since
	if !since.IsZero() {
		since = since.Add(-hourOfSkew)
	}
	return r.o.Connection.Scan(ctx, broker.ScanOptions{Topic: r.o.DeadLetters, Since: since, Ends: ends, Retrying: r.o.Retrying},
		func(rec decision.Record) error { return each(&rec) })
}

// findTopics makes every topic that a dead letter names a target.
func (r *Redrive) findTopics(ctx context.Context) error {
	const most = 1000
	r.o.Targets = slices.Clone(r.o.Targets)
	return r.scan(ctx, func(rec *decision.Record) error {
		d, err := decision.ParseDeadLetter(rec)
		if err != nil || slices.Contains(r.o.Targets, d.Original.Topic) || d.Original.Topic == r.o.DeadLetters {
			return nil
		}
		if len(r.o.Targets) == most {
			return fmt.Errorf("the dead letters come from more than %d topics", most)
		}
		r.o.Targets = append(r.o.Targets, d.Original.Topic)
		return nil
	})
}

// recover takes in the copies that no commit speaks of.
func (r *Redrive) recover(ctx context.Context) error {
	var oldest time.Time
	for _, target := range r.o.Targets {
		ends, err := r.o.Connection.LogEnds(ctx, target)
		if errors.Is(err, broker.ErrNoTopic) {
			continue // nothing is there, and nothing goes there
		}
		if err != nil {
			return err
		}
		r.exist[target] = true
		notes, err := r.o.Connection.GroupOffsets(ctx, r.set.group, target)
		if err != nil {
			return err
		}
		from := make(map[int]int64)
		for partition, note := range notes {
			if note.Metadata == redriveNote && note.Offset <= ends[partition] {
				from[partition] = note.Offset
			}
		}
		scan := broker.ScanOptions{Topic: target, Offsets: from, Ends: ends, Retrying: r.o.Retrying}
		if len(from) < len(ends) {
			if oldest.IsZero() {
				if oldest, err = r.oldest(ctx); err != nil {
					return err
				}
			}
			scan.Since = oldest.Add(-hourOfSkew)
		}
		err = r.o.Connection.Scan(ctx, scan, func(rec decision.Record) error {
			letter, ok := decision.RedrivenFrom(&rec)
			// A header of somebody else's may name what there is not.
			if b, known := r.bounds[letter.Partition]; ok && known && letter.Topic == r.o.DeadLetters && letter.Offset >= b.First && letter.Offset < b.End {
				r.set.add(letter.Partition, letter.Offset)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// oldest is the time of the oldest dead letter, now if there is none.
func (r *Redrive) oldest(ctx context.Context) (time.Time, error) {
	oldest := time.Now()
	for partition, b := range r.bounds {
		err := r.o.Connection.Scan(ctx, broker.ScanOptions{
			Topic: r.o.DeadLetters, Partitions: []int{partition}, Ends: map[int]int64{partition: b.End}, Retrying: r.o.Retrying,
		}, func(rec decision.Record) error {
			if rec.Time.Before(oldest) {
				oldest = rec.Time
			}
			return broker.ErrStopScan
		})
		if err != nil {
			return oldest, err
		}
	}
	return oldest, nil
}

// redriveNote is the metadata of a commit that notes how far a target topic was
// looked through for copies.
const redriveNote = "redrive-1 noted"

// checkpoint commits the set and then notes the ends of the targets, which must not
// pass a copy that is not committed. The set is committed once more, all of it: then
// Kafka forgets the notes before it, and never the set alone.
func (r *Redrive) checkpoint(ctx context.Context) error {
	if err := r.set.commit(ctx, r.o.Connection); err != nil {
		return err
	}
	if err := r.note(ctx); err != nil {
		return err
	}
	r.set.touch()
	return r.set.commit(ctx, r.o.Connection)
}

// note notes the ends of the targets.
func (r *Redrive) note(ctx context.Context) error {
	for _, target := range r.o.Targets {
		if !r.exist[target] {
			continue
		}
		ends, err := r.o.Connection.LogEnds(ctx, target)
		if err != nil {
			return err
		}
		notes := make(map[int]broker.GroupOffset, len(ends))
		for partition, end := range ends {
			notes[partition] = broker.GroupOffset{Offset: end, Metadata: redriveNote}
		}
		if err := r.o.Connection.CommitGroupOffsets(ctx, r.set.group, target, notes); err != nil {
			return err
		}
		r.noted[target] = ends
	}
	return nil
}

// Survey looks through the dead letters, sends nothing and commits nothing.
func (r *Redrive) Survey(ctx context.Context) (Survey, error) {
	s := Survey{Refused: make(map[Refusal]int64), ByReason: make(map[decision.Reason]int64), ByError: make(map[string]int64), Examples: make(map[string]string), ByTopic: make(map[string]int64)}
	err := r.scan(ctx, func(rec *decision.Record) error {
		s.Looked++
		if s.Looked%1000 == 0 {
			r.o.Progress(s.Looked, 0)
		}
		d, back, refused, chosen := r.choose(rec)
		switch {
		case !chosen:
		case r.set.has(rec.Partition, rec.Offset):
			s.Already++
		case refused != nil:
			s.Refused[refused.Why]++
			r.o.Refused(*refused)
		default:
			s.Chosen++
			s.ByReason[d.Reason]++
			s.ByTopic[back.Topic]++
			text := errorKind(d.Error)
			if _, known := s.ByError[text]; !known && len(s.ByError) >= maxErrors {
				text = OtherErrors
			}
			if known, ok := s.Examples[text]; text != OtherErrors && (!ok || d.Error < known) {
				s.Examples[text] = d.Error
			}
			s.ByError[text]++
		}
		return nil
	})
	return s, err
}

// choose says whether a dead letter is chosen by the filter, and what goes back for
// it, or why nothing can.
func (r *Redrive) choose(rec *decision.Record) (d decision.DeadRecord, back decision.Record, refused *RefusedLetter, chosen bool) {
	d, err := decision.ParseDeadLetter(rec)
	refuse := func(why Refusal, format string, args ...any) (decision.DeadRecord, decision.Record, *RefusedLetter, bool) {
		return d, back, &RefusedLetter{Letter: rec.Origin(), DecisionID: d.DecisionID, Why: why, Detail: decision.OneLine(fmt.Sprintf(format, args...), 300)}, true
	}
	if err != nil {
		if !r.o.Filter.Any() {
			return d, back, nil, false // whatever it is, it was not asked for
		}
		return refuse(NotReadable, "%v", err)
	}
	if !r.o.Filter.matches(&d, rec.Time) {
		return d, back, nil, false
	}
	switch {
	case d.Redrives >= r.o.MaxRedrives:
		return refuse(OverMax, "redriven %d times already", d.Redrives)
	case d.ValueOmitted:
		return refuse(NoValue, "it was too large for its dead letter; the original is at %s", d.Original.Origin())
	case !slices.Contains(r.o.Targets, d.Original.Topic) || d.Original.Topic == r.o.DeadLetters:
		return refuse(OtherTopic, "it names the topic %s, which is none of this configuration's (--any-topic)", d.Original.Topic)
	case !r.exist[d.Original.Topic]:
		return refuse(OtherTopic, "its topic %s does not exist", d.Original.Topic)
	}
	back = d.Redriven(rec.Origin())
	if r.o.Edit != nil {
		edited, err := jsonpatch.MergePatch(back.Value, r.o.Edit)
		if err != nil {
			return refuse(NotEditable, "its value is no JSON object: %v", err)
		}
		back.Value = edited
	}
	return d, back, nil, true
}

// Redriven says what a run did.
type Redriven struct {
	Redriven int64 // acknowledged
	Failed   int64 // that Kafka refuses for good
	Limited  bool  // Limit left some
}

// Run sends back what Survey counted. If ctx ends, what is under way is waited for a
// little, and committed; the same redrive goes on from there later.
func (r *Redrive) Run(ctx context.Context) (Redriven, error) {
	if err := r.checkpoint(ctx); err != nil {
		return Redriven{}, err
	}
	run := &redriveRun{Redrive: r, limiter: rate.NewLimiter(rate.Inf, 1)}
	if r.o.Rate > 0 {
		run.limiter = rate.NewLimiter(rate.Limit(r.o.Rate), max(1, int(r.o.Rate/10)))
	}
	run.publisher = broker.NewPublisher(broker.PublisherOptions{
		Client: r.o.Connection.Client(), MaxPendingBytes: 8 << 20, AlreadyStored: r.landed,
		OnHealthChange: func(err error) {
			if err != nil {
				r.o.Retrying(err)
			}
		},
	})
	err := r.scan(ctx, func(rec *decision.Record) error { return run.send(ctx, rec) })
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastAnswers)
	defer cancel()
	err = errors.Join(err, run.publisher.Close(last))
	err = errors.Join(err, run.commit(last))
	if err == nil {
		err = r.checkpoint(last)
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return Redriven{Redriven: run.redriven, Failed: run.failed, Limited: run.limited}, err
}

// lastAnswers is how long the end of a run may take.
const lastAnswers = 30 * time.Second

// commitEvery is the time between two commits of a run.
const commitEvery = time.Second

// redriveRun is one Run.
type redriveRun struct {
	*Redrive
	publisher *broker.Publisher
	limiter   *rate.Limiter
	sent      int64
	looked    int64
	redriven  int64
	failed    int64
	limited   bool
	committed time.Time

	mu           sync.Mutex
	acknowledged []decision.Origin // not taken into the set yet
	refused      []error           // by Kafka, for good
}

// send sends one dead letter back, if it is chosen.
func (r *redriveRun) send(ctx context.Context, rec *decision.Record) error {
	r.looked++
	_, back, refused, chosen := r.choose(rec)
	if !chosen || refused != nil || r.set.has(rec.Partition, rec.Offset) {
		return nil
	}
	if r.o.Limit > 0 && r.sent == r.o.Limit {
		r.limited = true
		return broker.ErrStopScan
	}
	if err := r.limiter.Wait(ctx); err != nil {
		return err
	}
	if err := r.o.Held(ctx); err != nil {
		return err
	}
	letter := rec.Origin()
	err := r.publisher.Publish(ctx, back, func(err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		switch {
		case err == nil:
			r.acknowledged = append(r.acknowledged, letter)
		case !errors.Is(err, broker.ErrPublisherClosed):
			r.refused = append(r.refused, fmt.Errorf("%s: %w", letter, err))
		}
	})
	if err != nil {
		return err
	}
	r.sent++
	if time.Since(r.committed) < commitEvery {
		return nil
	}
	r.committed = time.Now()
	r.o.Progress(r.looked, r.redriven)
	return r.commit(ctx)
}

// landed says whether a copy whose request failed is in its topic all the same: it
// looks through what the partition got since this run noted its end. What may still
// be on its way to the broker is waited for a little.
func (r *Redrive) landed(ctx context.Context, partition int, rec *decision.Record) (bool, error) {
	if err := pause(ctx, time.Second); err != nil {
		return false, err
	}
	ends, err := r.o.Connection.LogEnds(ctx, rec.Topic)
	if err != nil {
		return false, err
	}
	from, end := r.noted[rec.Topic][partition], ends[partition]
	if end <= from {
		return false, nil
	}
	letter, _ := decision.RedrivenFrom(rec)
	is := false
	err = r.o.Connection.Scan(ctx, broker.ScanOptions{
		Topic: rec.Topic, Partitions: []int{partition}, Offsets: map[int]int64{partition: from}, Ends: map[int]int64{partition: end},
	}, func(there decision.Record) error {
		if at, ok := decision.RedrivenFrom(&there); !ok || at != letter {
			return nil
		}
		is = true
		return broker.ErrStopScan
	})
	return is, err
}

// commit takes what was acknowledged into the set, and commits it.
func (r *redriveRun) commit(ctx context.Context) error {
	r.mu.Lock()
	acknowledged, refused := r.acknowledged, r.refused
	r.acknowledged, r.refused = nil, nil
	r.mu.Unlock()
	for _, letter := range acknowledged {
		r.set.add(letter.Partition, letter.Offset)
	}
	r.redriven += int64(len(acknowledged))
	r.failed += int64(len(refused))
	for _, err := range refused {
		r.o.Retrying(err)
	}
	return r.set.commit(ctx, r.o.Connection)
}
