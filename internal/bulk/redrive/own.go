package redrive

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"verdict/internal/broker"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

// maxClaims is how often a run tries to take over the topic, if its first write fails.
const maxClaims = 3

// errTwoAtOnce is why a run ends that was overtaken before it had written anything.
var errTwoAtOnce = errors.New("another run works on these dead letters and took them over at the same moment; let it finish, then run the same command again")

// BatchID returns the ID under which the run of a redrive is listed.
func BatchID(run string) string { return "redrive-" + strings.ToLower(run[:min(len(run), 10)]) }

// own takes the letters of the topic over: it writes who works on them now, what has to be
// carried over into the ledger, and that the run begins. From then on the windows are those
// of the ledger, and stay so until somebody else takes over.
func (r *run) own(ctx context.Context) error {
	if id, err := store.TopicID(ctx, r.options.Ledger.Connection, r.options.DeadLetters); err != nil {
		return err
	} else if id != r.topicID {
		return fmt.Errorf("topic %s was recreated meanwhile; run the same command again", r.options.DeadLetters)
	}
	for attempt := 1; ; attempt++ {
		w, err := store.Open(ctx, r.options.Ledger, r.key)
		if err != nil {
			return err
		}
		r.writer = w
		// A write whose answer was lost may have been carried out.
		if e, ok := w.State().Get(r.key); !ok || e.Run != r.options.Ledger.Author.Run {
			_, err = w.Write(ctx, r.claim(w.State()))
		}
		switch {
		case err == nil:
			r.windows = windowsIn(w.State(), r.topicID)
			return nil
		case errors.Is(err, broker.ErrFenced):
			return errTwoAtOnce
		case attempt == maxClaims || ctx.Err() != nil:
			return err
		}
		r.options.Retrying(err)
	}
}

// claim returns the first write of a run.
func (r *run) claim(state *ledger.State) store.Change {
	c := store.Change{
		Entries: []store.KeyedEntry{{Key: r.key, Entry: ledger.Entry{Window: &ledger.Window{}}}},
		Acts:    []ledger.Act{r.begin()},
	}
	if !r.isKnown(state) {
		c.Entries = append(c.Entries, r.carried.entries(r.topicID)...)
	}
	if r.options.Action == SendBack {
		c.Entries = append(c.Entries, r.batchEntry())
	}
	// The run before may have been killed: nobody goes on with its batch.
	if before, ok := state.Get(r.key); ok {
		if left, ok := state.Batch(BatchID(before.Run)); ok && left.Batch.Redrive && left.Batch.Ended.IsZero() {
			b := *left.Batch
			b.Size, b.Ended = b.Sent, time.Now()
			c.Entries = append(c.Entries, store.KeyedEntry{Key: ledger.BatchKey(BatchID(before.Run)), Entry: ledger.Entry{Batch: &b}})
		}
	}
	return c
}

// newBatch returns the batch of a run that sends letters back.
func (r *Redriver) newBatch() ledger.Batch {
	o := &r.options
	b := ledger.Batch{
		Topic: o.DeadLetters, Size: max(r.chosen, 0), Began: time.Now(), Submitter: o.Ledger.Author, Runs: []string{o.Ledger.Author.Run},
		Redrive: true, Overwrite: o.Overwrite, Begin: make(map[int]int64, len(r.bounds)),
	}
	if o.Limit > 0 {
		b.Size = min(b.Size, o.Limit)
	}
	if o.Edit != nil {
		b.Choices = "edit=" + o.editHash()
	}
	for partition, bound := range r.bounds {
		b.Begin[partition] = bound.End
	}
	return b
}

func (r *run) batchEntry() store.KeyedEntry {
	b := r.batch
	return store.KeyedEntry{Key: r.batchKey, Entry: ledger.Entry{Batch: &b}}
}

// begin returns the act with which a run begins: what it is about to do.
func (r *run) begin() ledger.Act {
	o := &r.options
	details := map[string]string{"step": "begin", "action": o.Action.String(), "dead_letters": o.DeadLetters}
	o.Filter.details(details)
	if r.chosen >= 0 {
		details["chosen"] = strconv.FormatInt(r.chosen, 10)
	}
	if o.Limit > 0 {
		details["limit"] = strconv.FormatInt(o.Limit, 10)
	}
	if o.Edit != nil {
		details["edit"] = o.editHash()
	}
	if o.Overwrite {
		details["overwrite"] = "true"
	}
	return r.act(details)
}

// end returns the act with which a run ends: what it has done.
func (r *run) end(stopped error) ledger.Act {
	details := map[string]string{"step": "end", r.options.Action.String(): strconv.FormatInt(r.summary.Handled, 10)}
	if r.summary.Failed > 0 {
		details["failed"] = strconv.FormatInt(r.summary.Failed, 10)
	}
	if stopped != nil {
		details["stopped"] = "true"
	}
	return r.act(details)
}

func (r *run) act(details map[string]string) ledger.Act {
	key := r.key
	if r.options.Action == SendBack {
		key = r.batchKey
	}
	return ledger.Act{Key: key.In(r.options.Ledger.Group), Details: details}
}
