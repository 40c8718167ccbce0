package backfill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"verdict/internal/broker"
	"verdict/internal/decision"
)

// SubmitOptions say where a batch goes.
type SubmitOptions struct {
	// Connection reaches the cluster. Required.
	Connection *broker.Connection
	// Topic is the topic of the batch's lane. Required.
	Topic string
	// Group is the service's consumer group, by which the batch's mark is named
	// (BatchGroup). Required.
	Group string
	// Journal is the path of the journal. Required.
	Journal string
	// Host is the name of this machine, for the mark. Required.
	Host string
	// Rate is decisions per second; zero: as fast as Kafka takes them.
	Rate float64
	// Checkpoint is how many rows, and CheckpointEvery how much time, lie between
	// two checkpoints, at which all that was sent is acknowledged and the journal is
	// written. A submit that goes on reads the topic from the last one. Zero: 50,000
	// and 5 s.
	Checkpoint      int
	CheckpointEvery time.Duration
	// Settle is how long a submit that goes on waits before it looks for what its
	// predecessor has left in the topic: a request that this one had sent when it was
	// killed may still lie before the broker. Zero: 2 s.
	Settle time.Duration
	// Begins is called before the first decision is sent, with the number of those
	// that are in the topic already. Nil: nobody asks.
	Begins func(before int64)
	// Acknowledged is the number of decisions of the batch that are acknowledged,
	// those before this call included, as it grows. Nil: nobody asks.
	Acknowledged *atomic.Int64
	// Log takes what is worth a warning on the way. Required.
	Log *slog.Logger
}

// Submitted is what a submit did.
type Submitted struct {
	Before int64     // decisions that were in the topic before
	Sent   int64     // and that it sent, each acknowledged
	Began  time.Time // when the batch began, by this machine's clock; zero: not known
}

// AlreadySentError says that a batch was submitted whole before.
type AlreadySentError struct {
	BatchID string
	At      time.Time
	By      string // what says so
	Size    int64  // decisions that were sent
}

// Error says what to do.
func (e *AlreadySentError) Error() string {
	return fmt.Sprintf("batch %s was submitted whole at %s, says %s; to submit it once more, give it another --batch-id",
		e.BatchID, decision.Time{Time: e.At}, e.By)
}

const (
	// firstContact bounds the first requests, so that a wrong address is an error
	// and not a wait without end.
	firstContact = 30 * time.Second
	// lastWords is how long a submit that is stopped waits for acknowledgements.
	lastWords = 10 * time.Second
	// signOfLife is the time after which a batch that another machine is sending,
	// by its mark, counts as left behind. It is written at each checkpoint.
	signOfLife = time.Minute
)

func (o SubmitOptions) withDefaults() SubmitOptions {
	if o.Checkpoint == 0 {
		o.Checkpoint = 50_000
	}
	if o.CheckpointEvery == 0 {
		o.CheckpointEvery = 5 * time.Second
	}
	if o.Settle == 0 {
		o.Settle = 2 * time.Second
	}
	if o.Begins == nil {
		o.Begins = func(int64) {}
	}
	if o.Acknowledged == nil {
		o.Acknowledged = new(atomic.Int64)
	}
	return o
}

// submission is one submit at work.
type submission struct {
	o       SubmitOptions
	batch   *Batch
	journal *journal
	entry   *journalBatch
	group   string
	mark    *Mark // nil: the group may not be used

	publisher *broker.Publisher
	stop      context.CancelCauseFunc // ends send
	flight    flight
	sent      atomic.Int64 // acknowledged
	there     *rowSet      // rows behind entry.Done that are in the topic
	found     int64        // rows of there that were passed
	passed    int64        // the last row that is in the topic, under way or not to be sent
}

// Submit sends the decisions of a batch that are not in its topic yet, and returns
// when all are acknowledged by all in-sync replicas. Ended by ctx, it first waits a
// while for acknowledgements. What it leaves undone, the next call for the same
// batch does, and sends nothing again: DESIGN.md says how, and what remains.
//
// The error is an *AlreadySentError if there was nothing to do.
func Submit(ctx context.Context, b *Batch, o SubmitOptions) (Submitted, error) {
	s := &submission{o: o.withDefaults(), batch: b, group: BatchGroup(o.Group, b.ID)}
	var err error
	if s.journal, err = openJournal(o.Journal); err != nil {
		return Submitted{}, err
	}
	defer s.journal.close()
	contact, cancel := context.WithTimeoutCause(ctx, firstContact, fmt.Errorf("Kafka gave no answer for %v", firstContact))
	err = s.begin(contact)
	cancel()
	if sent, ok := errors.AsType[*AlreadySentError](err); ok {
		return Submitted{Before: sent.Size}, err
	}
	if err != nil {
		return Submitted{}, err
	}
	before := s.entry.Acknowledged
	if s.there, err = s.look(ctx); err != nil {
		return Submitted{Before: before}, err
	}
	before += s.there.count()
	s.o.Acknowledged.Store(before)
	s.o.Begins(before)
	err = s.send(ctx)
	return Submitted{Before: before, Sent: s.sent.Load(), Began: s.entry.Began}, err
}

// begin finds where the batch stands: by the journal, else by its mark in Kafka,
// else it is new. It changes neither unless it is new or goes on by its mark.
func (s *submission) begin(ctx context.Context) error {
	cluster, err := s.o.Connection.ClusterID(ctx)
	if err != nil {
		return err
	}
	bounds, err := s.o.Connection.Bounds(ctx, s.o.Topic)
	if err != nil {
		return err
	}
	mark, err := ReadMark(ctx, s.o.Connection, s.group, s.o.Topic)
	if ctx.Err() != nil {
		return err
	}
	s.unmarked(err)
	canMark := err == nil
	known := s.journal.find(cluster, s.o.Topic, s.batch.ID)
	if err := s.refuse(cluster, known, mark); err != nil {
		return err
	}
	if known == nil {
		known = &journalBatch{
			BatchID: s.batch.ID, Cluster: cluster, Topic: s.o.Topic, Files: s.batch.in.paths(), Content: s.batch.Content,
			Choices: s.batch.choices(), Size: s.batch.Size(), Began: time.Now().UTC(), Offsets: make(map[int]int64),
		}
		if mark != nil { // begun elsewhere, or its journal is gone
			known.Offsets, known.Began = mark.Offsets, time.Time{}
		} else {
			known.Clean = true
			for partition, bound := range bounds {
				known.Offsets[partition] = bound.End
			}
		}
		known.Begin = known.Offsets
		s.journal.add(known)
	}
	for partition, bound := range bounds {
		if !known.Clean && known.Offsets[partition] < bound.First {
			return fmt.Errorf("batch %s: what was sent of it before it stopped may be deleted by now: topic %s partition %d begins at offset %d, and the batch was at %d; find out what is missing (verdict follow %s) and submit that as a batch of its own",
				s.batch.ID, s.o.Topic, partition, bound.First, known.Offsets[partition], s.batch.ID)
		}
	}
	s.entry = known
	if canMark {
		s.mark = &Mark{Offsets: known.Begin, Size: s.batch.Size(), Content: s.batch.Content}
	}
	return nil
}

// unmarked warns that a batch has no mark.
func (s *submission) unmarked(err error) {
	if err != nil {
		s.o.Log.Warn("the batch can't be marked in Kafka: that it was submitted before is noticed by the journal alone", "err", err)
	}
}

// refuse is why a batch is not to be sent.
func (s *submission) refuse(cluster string, known *journalBatch, mark *Mark) error {
	b := s.batch
	if known != nil {
		switch choices := b.choices(); {
		case known.Content != b.Content:
			return fmt.Errorf("batch %s was begun with other content, says the journal %s; give this content another --batch-id", b.ID, s.o.Journal)
		case known.ended():
			return &AlreadySentError{BatchID: b.ID, At: known.Ended, By: "the journal " + s.o.Journal, Size: known.Size}
		case known.Choices != choices || known.Size != b.Size():
			return fmt.Errorf("batch %s was begun with %s and %d decisions to send, and is now given with %s and %d; give the same flags again to go on",
				b.ID, known.Choices, known.Size, choices, b.Size())
		}
	}
	// Where no ID was said, none was meant to tell this content from what was sent
	// before under an ID that was.
	if other := s.journal.alike(cluster, s.o.Topic, b.Content); known == nil && other != nil && b.ID == derivedID(b.Content) {
		if other.ended() {
			return &AlreadySentError{BatchID: other.BatchID, At: other.Ended, By: "the journal " + s.o.Journal, Size: other.Size}
		}
		return fmt.Errorf("the same content was begun as batch %s, says the journal %s; go on with --batch-id %s, or give another to send it all once more",
			other.BatchID, s.o.Journal, other.BatchID)
	}
	if mark != nil {
		switch {
		case mark.Content != b.Content:
			return fmt.Errorf("batch %s was begun with other content, says Kafka (group %s); give this content another --batch-id", b.ID, s.group)
		case mark.Ended:
			return &AlreadySentError{BatchID: b.ID, At: mark.At, By: "Kafka (group " + s.group + ")", Size: mark.Size}
		case mark.Size != b.Size():
			return fmt.Errorf("batch %s was begun on %s with %d decisions to send, and is now given with %d; give the same flags again to go on", b.ID, mark.Host, mark.Size, b.Size())
		case (known == nil || mark.Host != s.o.Host) && time.Since(mark.At).Abs() < signOfLife:
			return fmt.Errorf("batch %s is being sent by %s, by its mark in Kafka of %v ago; if that has stopped, try again when the mark is %v old", b.ID, mark.Host, time.Since(mark.At).Round(time.Second), signOfLife)
		}
	}
	for _, other := range s.journal.batches {
		if other == known || other.ended() || other.Cluster != cluster || other.Topic != s.o.Topic {
			continue
		}
		if other.Content == b.Content || slices.ContainsFunc(other.Files, func(f string) bool { return slices.Contains(b.in.paths(), f) }) {
			return fmt.Errorf("batch %s of %s was begun and not finished, says the journal %s: %d of its %d decisions are acknowledged; finish it first, with the content that it had and --batch-id %s, or give this one a --journal of its own",
				other.BatchID, strings.Join(other.Files, ", "), s.o.Journal, other.Acknowledged, other.Size, other.BatchID)
		}
	}
	return nil
}

// look finds which rows are in the topic without the journal knowing, and writes
// journal and mark before anything is sent.
func (s *submission) look(ctx context.Context) (*rowSet, error) {
	there := newRowSet(s.entry.Done, s.batch.Rows)
	if !s.entry.Clean {
		if err := pause(ctx, s.o.Settle); err != nil {
			return there, err
		}
		ends, err := s.o.Connection.LogEnds(ctx, s.o.Topic)
		if err != nil {
			return there, err
		}
		err = landed(ctx, s.o.Connection, s.o.Topic, s.batch.ID, s.entry.Offsets, ends, func(row int64) error {
			there.add(row)
			return nil
		})
		if err != nil {
			return there, err
		}
	}
	// Only now: a journal that says Clean has offsets behind which nothing is.
	s.entry.Clean = false
	if err := s.journal.save(); err != nil {
		return there, err
	}
	return there, s.marks(ctx, false)
}

// marks writes the mark, as a sign of life or with the end. A batch can do without;
// but where the mark has become another machine's, that one goes on with the batch.
func (s *submission) marks(ctx context.Context, ended bool) error {
	if s.mark == nil {
		return nil
	}
	contact, cancel := context.WithTimeout(ctx, firstContact)
	defer cancel()
	now, err := ReadMark(contact, s.o.Connection, s.group, s.o.Topic)
	if err == nil {
		if err := s.takenOver(now); err != nil {
			return err
		}
	}
	s.mark.At, s.mark.Host, s.mark.Ended = time.Now(), s.o.Host, ended
	if err == nil {
		err = s.mark.write(contact, s.o.Connection, s.group, s.o.Topic)
	}
	if ctx.Err() == nil && err != nil {
		s.unmarked(err)
		s.mark = nil
	}
	return nil
}

// takenOver is an error if the mark is another machine's.
func (s *submission) takenOver(now *Mark) error {
	if now == nil || now.Host == s.o.Host || time.Since(now.At).Abs() >= signOfLife && !now.Ended {
		return nil
	}
	return fmt.Errorf("batch %s was taken over by %s, by its mark in Kafka of %v ago; follow it there", s.batch.ID, now.Host, time.Since(now.At).Round(time.Second))
}

// send sends the rows that are not there.
func (s *submission) send(ctx context.Context) error {
	ctx, s.stop = context.WithCancelCause(ctx)
	defer s.stop(nil)
	s.passed = s.entry.Done
	s.publisher = broker.NewPublisher(broker.PublisherOptions{
		Client: s.o.Connection.Client(), Linger: 5 * time.Millisecond, MaxPendingBytes: 16 << 20, AlreadyStored: s.landed,
		OnHealthChange: func(err error) {
			if err != nil {
				s.o.Log.Warn("Kafka does not take the decisions; trying again", "err", err)
			} else {
				s.o.Log.Warn("Kafka takes the decisions again")
			}
		},
	})
	err := s.rows(ctx)
	if err == nil {
		err = s.checkpoint(ctx, s.batch.Rows, true)
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	// What is under way goes on for a while, so that the next call has less to look
	// for.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	closed := s.publisher.Close(last)
	if err == nil || closed != nil || s.flight.failed() != nil {
		return errors.Join(err, closed)
	}
	s.note(s.passed)
	s.entry.Clean = true
	return errors.Join(err, s.journal.save())
}

// rows gives the rows to the publisher, with a checkpoint now and then.
func (s *submission) rows(ctx context.Context) error {
	var limiter *rate.Limiter
	if s.o.Rate > 0 {
		limiter = rate.NewLimiter(rate.Limit(s.o.Rate), max(1, int(s.o.Rate/20)))
	}
	since, begun := 0, time.Now()
	return s.batch.read(ctx, func(r *checkedRow) error {
		if r.Number <= s.entry.Done {
			return nil
		}
		// Before the row, and not behind it: after a long wait for Kafka it is seen
		// here whether another machine has taken the batch over.
		if since++; since > s.o.Checkpoint || time.Since(begun) >= s.o.CheckpointEvery {
			if err := s.checkpoint(ctx, s.passed, false); err != nil {
				return err
			}
			since, begun = 1, time.Now()
		}
		switch {
		case !r.sent():
		case s.there.has(r.Number):
			s.found++
		default:
			if limiter != nil {
				// Not its Wait, which fails at once where a deadline would come first.
				if err := pause(ctx, limiter.Reserve().Delay()); err != nil {
					return err
				}
			}
			if err := s.publish(ctx, r); err != nil {
				return err
			}
		}
		s.passed = r.Number
		return nil
	})
}

func (s *submission) publish(ctx context.Context, r *checkedRow) error {
	if err := s.flight.failed(); err != nil {
		return err
	}
	rec := r.Record(s.o.Topic)
	rec.Headers = decision.BatchPlace{ID: s.batch.ID, Line: r.Number, Size: s.batch.Size()}.Headers()
	where := r.at
	s.flight.add()
	err := s.publisher.Publish(ctx, rec, func(err error) {
		if err == nil {
			s.sent.Add(1)
			s.o.Acknowledged.Add(1)
		} else if !errors.Is(err, broker.ErrPublisherClosed) {
			err = fmt.Errorf("%s: %w", s.batch.in.where(where), err)
		}
		s.flight.done(err)
	})
	if err != nil {
		s.flight.done(nil) // it is not under way
	}
	return err
}

// checkpoint waits until all that was sent is acknowledged, and writes down that
// the rows up to this one are done. Nothing is sent meanwhile, so rows behind it
// will have the offsets of now or later: an end of a log could be cut back when its
// leader is lost, what readers see can not.
func (s *submission) checkpoint(ctx context.Context, row int64, ended bool) error {
	if err := s.flight.wait(ctx); err != nil {
		return err
	}
	if err := s.batch.in.unchanged(); err != nil {
		return err
	}
	bounds, err := s.o.Connection.Bounds(ctx, s.o.Topic)
	if err != nil {
		return err
	}
	offsets := make(map[int]int64, len(bounds))
	for partition, bound := range bounds {
		offsets[partition] = bound.End
	}
	s.entry.Offsets = offsets
	s.note(row)
	if ended {
		s.entry.Ended = time.Now().UTC()
	}
	if err := s.journal.save(); err != nil {
		return err
	}
	return s.marks(ctx, ended)
}

// note notes that the rows up to this one are done.
func (s *submission) note(row int64) {
	s.entry.Done = row
	s.entry.Acknowledged = s.o.Acknowledged.Load() - s.there.count() + s.found
}

// landed looks for a record that may have been stored although its request failed.
// The publisher sends nothing for the partition meanwhile, and no checkpoint can
// come, since the record is under way.
func (s *submission) landed(ctx context.Context, partition int, rec *decision.Record) (bool, error) {
	place, _ := decision.BatchPlaceOf(rec.Headers)
	if err := pause(ctx, time.Second); err != nil {
		return false, err
	}
	if now, err := ReadMark(ctx, s.o.Connection, s.group, s.o.Topic); err == nil {
		if err := s.takenOver(now); err != nil {
			s.stop(err)
			return false, err
		}
	}
	ends, err := s.o.Connection.LogEnds(ctx, s.o.Topic)
	if err != nil {
		return false, err
	}
	end, ok := ends[partition]
	if !ok { // the topic was made anew with fewer partitions
		return false, nil
	}
	is := false
	err = landed(ctx, s.o.Connection, s.o.Topic, s.batch.ID, s.entry.Offsets, map[int]int64{partition: end}, func(row int64) error {
		if row != place.Line {
			return nil
		}
		is = true
		return broker.ErrStopScan
	})
	return is, err
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// choices is what says, beside the content, which rows are sent and how.
func (b *Batch) choices() string {
	var all []string
	for _, column := range sorted(b.o.Rows.Map) {
		all = append(all, fmt.Sprintf("--map %q", column+"="+b.o.Rows.Map[column]))
	}
	for _, field := range sorted(b.o.Rows.Set) {
		all = append(all, fmt.Sprintf("--set %q", field+"="+b.o.Rows.Set[field]))
	}
	if b.o.LastWins {
		all = append(all, "--last-wins")
	}
	if b.o.SkipInvalid {
		all = append(all, "--skip-invalid")
	}
	if len(all) == 0 {
		return "no choices"
	}
	sort.Strings(all)
	return strings.Join(all, " ")
}

// paths are the files' absolute paths, as far as they have one.
func (in *Input) paths() []string {
	var paths []string
	for _, f := range in.files {
		if f.copied {
			continue
		}
		path, err := filepath.Abs(f.name)
		if err != nil {
			path = f.name
		}
		paths = append(paths, path)
	}
	return paths
}
