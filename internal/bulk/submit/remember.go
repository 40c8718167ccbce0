package submit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/broker"
	"verdict/internal/bulk/remembered"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

// SentBeforeError reports that rows of the batch were sent before, in another one.
type SentBeforeError struct {
	Rows  int64  // of the file that were sent; of more than a million rows, an estimate
	Of    int64  // different rows of the file
	Batch string // that has most of them
	At    time.Time
	By    ledger.Author
}

// Error says which batch has them.
func (e *SentBeforeError) Error() string {
	return fmt.Sprintf("%d of %d rows were sent in batch %s on %s by %s", e.Rows, e.Of, e.Batch, e.At.UTC().Format("2 January 2006"), decision.OneLine(e.By.Actor, 100))
}

// findSentBefore returns a *SentBeforeError if another batch has sent rows of this one. It
// asks the fingerprints first, which are wrong now and then, and then the records.
func (s *submission) findSentBefore(ctx context.Context, state *ledger.State) error {
	if s.options.Fingerprints == "" || s.options.Asked == nil {
		return nil
	}
	suspected, err := s.suspected(ctx, state)
	if err != nil {
		return fmt.Errorf("read which rows were sent before: %w", err)
	}
	var most *SentBeforeError
	for _, id := range suspected {
		e, _ := state.Batch(id)
		n, whole, err := s.confirm(ctx, e.Batch)
		if err != nil {
			return fmt.Errorf("read which rows were sent before in batch %s: %w", id, err)
		}
		if n == 0 && !whole {
			s.options.Log.Warn("rows of this batch seem to have been sent before, but the records that could tell are deleted", "batch_id", id, "submitted_by", e.Batch.Submitter.Actor, "began", e.Batch.Began)
		}
		if n > 0 && (most == nil || n > most.Rows) {
			most = &SentBeforeError{Rows: n, Of: s.options.Asked.Rows(), Batch: id, At: e.Batch.Began, By: e.Batch.Submitter}
		}
	}
	if most == nil {
		return nil
	}
	return most
}

// suspected returns the batches that seem to have rows of this one, by their fingerprints.
func (s *submission) suspected(ctx context.Context, state *ledger.State) ([]string, error) {
	o := &s.options
	matches := make(map[string]remembered.Match)
	err := o.Ledger.Connection.Scan(ctx, broker.ScanOptions{Topic: o.Fingerprints, Retrying: o.Ledger.Retrying}, func(rec decision.Record) error {
		key, ok := remembered.ParseKey(string(rec.Key))
		if !ok || key.Group != o.Ledger.Group || key.Batch == s.batch.ID || rec.Value == nil || rec.Fault != "" {
			return nil
		}
		e, known := state.Batch(key.Batch)
		if !known || e.Batch.Redrive || state.Hold(ledger.HoldBatch(key.Batch)).Cancelled != nil {
			return nil
		}
		f, err := remembered.Decode(rec.Value)
		if err != nil {
			o.Log.Warn("the rows of a batch are not known", "batch_id", key.Batch, "err", err)
			return nil
		}
		matches[key.Batch] = matches[key.Batch].Add(o.Asked.In(f))
		return nil
	})
	if errors.Is(err, broker.ErrNoTopic) {
		return nil, nil
	}
	var ids []string
	for id, m := range matches {
		if m.Suspected() {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b string) int {
		return cmp.Or(cmp.Compare(matches[b].Likely(), matches[a].Likely()), cmp.Compare(a, b))
	})
	return ids, err
}

// confirm counts the rows of this batch among the records of another one. whole reports that
// all of its records are still there.
func (s *submission) confirm(ctx context.Context, b *ledger.Batch) (n int64, whole bool, err error) {
	connection, asked := s.options.Ledger.Connection, s.options.Asked
	topic, begin := b.Lane()
	bounds, err := connection.Bounds(ctx, topic)
	if errors.Is(err, broker.ErrNoTopic) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	whole = true
	for partition, bound := range bounds {
		whole = whole && bound.First <= begin[partition]
	}
	found := make([]bool, asked.Held())
	err = connection.Scan(ctx, broker.ScanOptions{Topic: topic, Offsets: begin, Retrying: s.options.Ledger.Retrying}, func(rec decision.Record) error {
		if rec.Fault != "" || !slices.Contains(b.Runs, decision.RunOf(rec.Headers)) {
			return nil
		}
		d, err := decision.Decode(&rec)
		if err != nil {
			return nil
		}
		if i, held := asked.Index(remembered.RowOf(&d)); held && !found[i] {
			found[i] = true
			n++
		}
		return nil
	})
	return n * asked.Every(), whole, err
}

// ensureFingerprints creates the topic of fingerprints, if it is missing. Where it can't be
// used, the batch is sent all the same, and its rows are not remembered.
func (s *submission) ensureFingerprints(ctx context.Context) {
	o := &s.options
	if o.Fingerprints == "" {
		return
	}
	states, err := o.Ledger.Connection.Describe(ctx, o.Ledger.Retrying, o.Fingerprints)
	if err == nil {
		err = states[o.Fingerprints].Err
	}
	if errors.Is(err, kafka.UnknownTopicOrPartition) {
		_, err = broker.Create(ctx, o.Ledger.Connection.Client(), []broker.Topic{store.Compacted(o.Fingerprints)})
	}
	if err != nil {
		o.Log.Warn("the rows of this batch can't be remembered", "topic", o.Fingerprints, "err", err)
		o.Fingerprints = ""
	}
}

// rememberer makes the fingerprints of the batch's rows.
type rememberer struct {
	builder *remembered.Builder // nil: nothing is remembered
	records []decision.Record
}

func (s *submission) newRememberer() *rememberer {
	r := &rememberer{}
	if s.options.Fingerprints != "" {
		r.builder = remembered.NewBuilder(func(n int, f *remembered.Filter) error {
			key := remembered.Key{Group: s.options.Ledger.Group, Batch: s.batch.ID, N: n}
			r.records = append(r.records, decision.Record{Topic: s.options.Fingerprints, Key: []byte(key.String()), Value: f.Encode()})
			return nil
		})
	}
	return r
}

func (r *rememberer) add(d *decision.Decision) error {
	if r.builder == nil {
		return nil
	}
	return r.builder.Add(remembered.RowOf(d))
}

// all returns the fingerprints of all rows, as records.
func (r *rememberer) all() ([]decision.Record, error) {
	if r.builder == nil {
		return nil, nil
	}
	err := r.builder.Flush() // makes the last of the records
	return r.records, err
}
