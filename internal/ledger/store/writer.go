package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"verdict/internal/broker"
	"verdict/internal/decision"
	"verdict/internal/ledger"
)

// TakenOverError reports that another run owns now what a Writer wrote.
type TakenOverError struct {
	Key ledger.Key
	By  ledger.Entry // the latest entry
}

// Error names the other run. Who wrote the latest entry may only have noted what became of a
// batch that another one had sent.
func (e *TakenOverError) Error() string {
	if b := e.By.Batch; b != nil && !b.Ended.IsZero() && e.By.Command != "submit" && e.By.Command != "approve" {
		return fmt.Sprintf("%s %s was taken over by another run, which sent the last of it at %s", e.Key.Kind, e.Key.Name, decision.Time{Time: b.Ended})
	}
	return fmt.Sprintf("%s %s was taken over by %s on %s at %s; let it finish there",
		e.Key.Kind, e.Key.Name, decision.OneLine(cmp.Or(e.By.Actor, "somebody"), 100), decision.OneLine(cmp.Or(e.By.Host, "an unknown machine"), 100), decision.Time{Time: e.By.At})
}

// Writer writes records and what the ledger says of them, together. It has one user at a
// time. There is nothing to close.
type Writer struct {
	options Options
	owns    ledger.Key
	tx      *broker.Transactional
	state   *ledger.State
}

// Change is what one transaction writes.
type Change struct {
	Rows    []decision.Record // to other topics; their Partition may be broker.ByKey
	Entries []KeyedEntry
	Acts    []ledger.Act
}

// KeyedEntry is an entry under its key. At and Author are set by the Writer.
type KeyedEntry struct {
	Key   ledger.Key
	Entry ledger.Entry
}

// Open takes over a key, creates the topics of the ledger where they are missing, and
// reads the ledger. It writes nothing if its author's signature would count for nothing.
// Only this Writer can write under the transactional ID of the key from
// then on. It retries transient errors until ctx ends.
func Open(ctx context.Context, o Options, owns ledger.Key) (*Writer, error) {
	if owns.Kind != ledger.KindInstance { // which is not signed
		if err := o.Trusted.CheckSigner(o.Author.Actor, o.Sign); err != nil {
			return nil, err
		}
	}
	if err := Ensure(ctx, o); err != nil {
		return nil, err
	}
	w := &Writer{options: o, owns: owns}
	return w, w.takeOver(ctx)
}

func (w *Writer) takeOver(ctx context.Context) (err error) {
	if w.tx, err = w.options.Connection.NewTransactional(ctx, w.owns.In(w.options.Group)); err != nil {
		return err
	}
	w.state, err = Read(ctx, w.options, nil)
	return err
}

// State returns the ledger as it was when the Writer was opened or recovered, with what it
// has written since. What others own may have changed.
func (w *Writer) State() *ledger.State { return w.state }

// Author is named in what the Writer writes.
func (w *Writer) Author() ledger.Author { return w.options.Author }

// Write writes a change in one transaction, and returns the places of its rows. After an
// error the change is written whole or not at all: Recover finds out which.
func (w *Writer) Write(ctx context.Context, c Change) ([]decision.Position, error) {
	o, now := &w.options, time.Now()
	ledgers := make([]decision.Record, 0, len(c.Acts)+len(c.Entries))
	signed := make(map[string]decision.Record) // by key
	for _, e := range c.Entries {
		e.Entry.At, e.Entry.Author = now, o.Author
		value, err := e.Entry.Encode(o.Group, e.Key)
		if err != nil {
			return nil, err
		}
		rec := decision.Record{Topic: o.Control, Key: []byte(e.Key.In(o.Group)), Value: value}
		if o.Sign != nil {
			rec.Headers = ledger.Sign(o.Sign, o.Group, e.Key, w.state.Previous(e.Key), value)
			signed[string(rec.Key)] = rec
		}
		ledgers = append(ledgers, rec)
	}
	for _, act := range c.Acts {
		act.At, act.Author, act.Entry = now, o.Author, signed[act.Key].Value
		value, err := act.Encode()
		if err != nil {
			return nil, err
		}
		ledgers = append(ledgers, decision.Record{Topic: o.Audit, Key: []byte(act.Key), Value: value, Headers: signed[act.Key].Headers})
	}
	placed, err := w.tx.Write(ctx, c.Rows, ledgers...)
	if err != nil {
		return nil, err
	}
	for i, rec := range ledgers {
		if rec.Topic != o.Control {
			continue
		}
		rec.Offset = placed[len(c.Rows)+i].Offset
		if _, err := w.state.Apply(&rec); err != nil {
			return nil, fmt.Errorf("what was written counts for nothing: %w", err)
		}
	}
	return placed[:len(c.Rows)], nil
}

// Recover takes the key over once more after a Write that failed, and reads the ledger
// again. It does so only if no other run has written the key's latest entry since State was
// read; else the error is a *TakenOverError. The caller compares State with what it wrote.
func (w *Writer) Recover(ctx context.Context) error {
	known := w.state.Previous(w.owns)
	state, err := Read(ctx, w.options, nil)
	if err != nil {
		return err
	}
	if err := w.stillOwned(state, known); err != nil {
		return err
	}
	if err := w.takeOver(ctx); err != nil {
		return err
	}
	return w.stillOwned(w.state, known)
}

// stillOwned returns an error if the key's latest entry is neither the known one, which may
// be an earlier run's, nor by this run.
func (w *Writer) stillOwned(s *ledger.State, known int64) error {
	if e, ok := s.Get(w.owns); ok && e.Run != w.options.Author.Run && s.Previous(w.owns) != known {
		return &TakenOverError{Key: w.owns, By: e}
	}
	return nil
}

// IsTakenOver reports whether an error says that another run has taken over.
func IsTakenOver(err error) bool {
	_, ok := errors.AsType[*TakenOverError](err)
	return ok
}
