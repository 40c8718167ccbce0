package prove

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"verdict/internal/broker"
	"verdict/internal/decision"
	"verdict/internal/ledger"
)

// commands finds the acts of the audit topic that belong to a batch: those under its key,
// its hold's and its redrives', those of runs that redrove its decisions, and those on
// the topic of dead letters as a whole if one of its letters was dismissed.
type commands struct {
	ends map[int]int64 // of the audit topic, when reading began; nil: there is no such topic
	keys map[string]bool
	runs map[string]bool
}

// maxRuns bounds the runs that redrove decisions of a batch. Records only claim to be by one.
const maxRuns = 100_000

func (c *commands) open(ctx context.Context, e *Evidence) (err error) {
	group, batch := e.options.Ledger.Group, e.options.BatchID
	c.keys = map[string]bool{ledger.BatchKey(batch).In(group): true, ledger.HoldBatch(batch).In(group): true}
	c.runs = make(map[string]bool)
	c.ends, err = e.options.Ledger.Connection.LogEnds(ctx, e.options.Ledger.Audit)
	if errors.Is(err, broker.ErrNoTopic) {
		return nil
	}
	return err
}

// addDecision notes whose acts belong to a decision.
func (c *commands) addDecision(e *Evidence, d *Decision) error {
	if slices.ContainsFunc(d.DeadLetters, func(l DeadLetter) bool { return l.Dismissed }) {
		c.keys[e.letters.In(e.options.Ledger.Group)] = true
	}
	for _, r := range d.Redrives {
		if !r.Confirmed || r.Copy.Run == "" {
			continue
		}
		c.runs[r.Copy.Run] = true
		if key, ok := e.redrives[r.Copy.Run]; ok {
			c.keys[key.In(e.options.Ledger.Group)] = true
		}
	}
	if len(c.runs) > maxRuns {
		return fmt.Errorf("decisions of the batch were redriven by more than %d runs", maxRuns)
	}
	return nil
}

// has reports whether an act belongs to the batch. Those that made evidence don't: evidence
// that is made again would be another one.
func (c *commands) has(act *ledger.Act) bool {
	if act.Command == Act {
		return false
	}
	return c.keys[act.Key] || c.runs[act.Run]
}

// write writes the lines of the acts, in their order, and returns their number.
func (c *commands) write(ctx context.Context, e *Evidence, w *lineWriter) (n int64, err error) {
	if c.ends == nil {
		return 0, nil
	}
	l := &e.options.Ledger
	err = l.Connection.Scan(ctx, broker.ScanOptions{Topic: l.Audit, Ends: c.ends, Retrying: l.Retrying}, func(rec decision.Record) error {
		act, err := ledger.DecodeAct(rec.Value)
		if err != nil || rec.Partition != 0 || !c.has(&act) {
			return nil //nolint:nilerr // not an act of Verdict's
		}
		n++
		line := Command{Type: typeCommand, Offset: rec.Offset, Key: act.Key, At: act.At, Author: act.Author, Details: act.Details, ValueSHA256: sum(rec.Value)}
		text, err := json.Marshal(line)
		if err != nil {
			return err
		}
		if len(text) > maxCommand {
			text, err = json.Marshal(Command{Type: typeCommand, Offset: rec.Offset, Key: decision.OneLine(act.Key, maxCommandKey), Omitted: true, ValueSHA256: sum(rec.Value)})
			if err != nil {
				return err
			}
		}
		return w.writeContent(text[:len(text)-1], nil)
	})
	return n, err
}

const (
	maxCommand    = 512 << 10 // the largest line of an act that is shown, in bytes
	maxCommandKey = 1 << 10
)
