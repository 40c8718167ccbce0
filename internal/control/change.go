package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"verdict/internal/broker"
	"verdict/internal/bulk/topicread"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
	"verdict/internal/retry"
)

// Made is a change that was made.
type Made struct {
	Before, After ledger.Entry // of the key; Before is zero if it had none
	Changed       bool         // false: it was like this already, and nothing was written
	// Waits says that a batch that was cancelled waits for approval: nothing of it is in a lane.
	Waits bool
	// Instances is how many instances are known to be at work, and so obey it.
	Instances int
}

// edit returns what to write instead of before, the entry of the key in s, and what the
// audit topic is to say of it besides who and when; nil: it is like this already.
type edit func(s *ledger.State, before ledger.Entry) (after ledger.Entry, details map[string]string, err error)

// The bounds of a change.
const (
	maxTries  = 8 // times that it is written, where others come in between
	maxFailed = 3 // times, where Kafka fails
	maxChange = 3 * time.Minute
	// maxFirst is how long the first answer may take, so that a wrong address is an error soon.
	maxFirst = 10 * time.Second
)

var betweenTries = retry.Policy{Min: 100 * time.Millisecond, Max: 5 * time.Second}

// change reads what the ledger says under a key, and writes what edit makes of it, with an
// act. If another change comes in between, or it is not known whether Kafka stored this
// one, it looks, and tries again if it did not.
func change(ctx context.Context, o store.Options, key ledger.Key, edit edit) (Made, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, maxChange, fmt.Errorf("Kafka did not answer for %v", maxChange))
	defer cancel()
	first, answered := context.WithTimeout(ctx, maxFirst)
	err := store.Check(first, o)
	answered()
	if err != nil && !errors.Is(err, store.ErrMissing) {
		return Made{}, err
	}
	began := time.Now()
	for try := 1; ; try++ {
		made, written, err := attempt(ctx, o, key, edit)
		if err == nil || !written {
			return made, err
		}
		if _, ok := errors.AsType[*ledger.Refused](err); ok {
			return made, err // it is in Kafka and counts for nothing: another try would not either
		}
		stored, unknown := wasStored(ctx, o, key, began, betweenTries.Backoff(try))
		switch {
		case unknown != nil:
			return made, fmt.Errorf("it is not known whether %s was changed; verdict audit shows it: %w", Describe(key), errors.Join(err, unknown))
		case stored:
			return made, nil
		case try == maxTries, try == maxFailed && !errors.Is(err, broker.ErrFenced):
			return made, fmt.Errorf("%s was not changed: %w", Describe(key), err)
		}
	}
}

// attempt makes a change once. With an error, written says that it may be in Kafka.
func attempt(ctx context.Context, o store.Options, key ledger.Key, edit edit) (made Made, written bool, err error) {
	w, err := store.Open(ctx, o, key)
	if err != nil {
		return made, false, err
	}
	made.Before, _ = w.State().Get(key)
	made.Instances = len(instances(w.State(), time.Now()))
	after, details, err := edit(w.State(), made.Before)
	if err != nil || details == nil {
		made.After = made.Before
		return made, false, err
	}
	made.After, made.Changed = after, true
	details["target"] = Describe(key)
	_, err = w.Write(ctx, store.Change{
		Entries: []store.KeyedEntry{{Key: key, Entry: after}},
		Acts:    []ledger.Act{{Key: key.In(o.Group), Details: details}},
	})
	return made, true, err
}

// wasStored reports, after a wait, whether this run's act is in the audit topic. It was
// written in one transaction with the change, so both are there or neither. To take the key
// over makes Kafka end that transaction, one way or the other.
func wasStored(ctx context.Context, o store.Options, key ledger.Key, began time.Time, wait time.Duration) (stored bool, err error) {
	for n := 1; ; n++ {
		if retry.Sleep(ctx, wait) != nil {
			return false, context.Cause(ctx)
		}
		_, err := store.Open(ctx, o, key)
		if err == nil {
			break
		}
		wait = betweenTries.Backoff(n) // Kafka was there a moment ago
		if o.Retrying != nil {
			o.Retrying(err)
		}
	}
	ends, err := o.Connection.LogEnds(ctx, o.Audit)
	if err != nil {
		return false, err
	}
	scan := broker.ScanOptions{Topic: o.Audit, Since: began.Add(-topicread.ClockSkew), Ends: ends, Retrying: o.Retrying}
	err = o.Connection.Scan(ctx, scan, func(rec decision.Record) error {
		if act, err := ledger.DecodeAct(rec.Value); err == nil && act.Run == o.Author.Run && act.Key == key.In(o.Group) {
			stored = true
			return broker.ErrStopScan
		}
		return nil
	})
	return stored, err
}
