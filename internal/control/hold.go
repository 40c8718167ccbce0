package control

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

// Hold stops what is not begun under a key of ledger.HoldBatch, HoldLane or HoldTask. A
// batch has to be in the ledger, or unknown has to be set.
func Hold(ctx context.Context, o store.Options, key ledger.Key, unknown bool) (Made, error) {
	return change(ctx, o, key, func(s *ledger.State, before ledger.Entry) (ledger.Entry, map[string]string, error) {
		if err := checkBatch(s, key); err != nil && !unknown {
			return before, nil, err
		}
		h := holdOf(before)
		if h.Held {
			return before, nil, nil
		}
		if h.Cancelled != nil {
			return before, nil, cancelledError(key, before)
		}
		h.Held = true
		return ledger.Entry{Hold: &h}, map[string]string{"before": describeHold(before), "after": "held"}, nil
	})
}

// Resume ends a hold. What is not held is resumed too: an instance may hold a batch or
// a lane by itself, as refused, and this ends that.
func Resume(ctx context.Context, o store.Options, key ledger.Key) (Made, error) {
	return change(ctx, o, key, func(s *ledger.State, before ledger.Entry) (ledger.Entry, map[string]string, error) {
		if err := checkBatch(s, key); err != nil && before.Hold == nil {
			return before, nil, err
		}
		h := holdOf(before)
		if h.Cancelled != nil && !h.Held {
			return before, nil, cancelledError(key, before)
		}
		h.Held = false
		return ledger.Entry{Hold: &h}, map[string]string{"before": describeHold(before), "after": "not held"}, nil
	})
}

// cancelledError says that a batch is cancelled, so that a hold has nothing to stop.
func cancelledError(key ledger.Key, e ledger.Entry) error {
	id := decision.OneLine(batchOf(key), decision.MaxBatchIDLength)
	return fmt.Errorf("batch %s is cancelled, by %s at %s, and that stays so; what it ended can be sent again: verdict redrive --batch-id %s --reason cancelled",
		id, decision.OneLine(e.Actor, 100), decision.Time{Time: e.At}, id)
}

func holdOf(e ledger.Entry) ledger.Hold {
	if e.Hold == nil {
		return ledger.Hold{}
	}
	return *e.Hold
}

func describeHold(e ledger.Entry) string {
	if !holdOf(e).Held {
		return "not held"
	}
	return fmt.Sprintf("held since %s by %s", decision.Time{Time: e.At}, e.Actor)
}

// UnknownBatchError reports that the ledger knows no batch of this name.
type UnknownBatchError struct {
	ID   string
	Near []string // the most similar or latest others, at most maxNear
}

// maxNear is how many other batches an error names.
const maxNear = 3

// Error names the batch and others.
func (e *UnknownBatchError) Error() string {
	text := fmt.Sprintf("the ledger knows no batch %q", decision.OneLine(e.ID, decision.MaxBatchIDLength))
	if len(e.Near) == 0 {
		return text + ", nor any other"
	}
	return text + "; did you mean " + strings.Join(e.Near, " or ") + "? verdict batches lists them"
}

// checkBatch returns an UnknownBatchError if the key is of a batch that the ledger does not
// know.
func checkBatch(s *ledger.State, key ledger.Key) error {
	id := batchOf(key)
	if id == "" {
		return nil
	}
	if _, known := s.Batch(id); known {
		return nil
	}
	var others []string
	for k := range s.Of(ledger.KindBatch) {
		others = append(others, k.Name)
	}
	return &UnknownBatchError{ID: id, Near: near(id, others)}
}

// near returns the names that are most like one, the most similar first.
func near(name string, others []string) []string {
	name = strings.ToLower(name)
	unlike := func(other string) int {
		other = strings.ToLower(other)
		d := distance(name, other)
		if strings.HasPrefix(other, name) || strings.HasPrefix(name, other) {
			d = min(d, 2)
		}
		return d
	}
	others = slices.Clone(others)
	slices.SortStableFunc(others, func(a, b string) int { return unlike(a) - unlike(b) })
	others = others[:min(len(others), maxNear)]
	for i, other := range others {
		others[i] = decision.OneLine(other, decision.MaxBatchIDLength)
	}
	return others
}

// distance is how many bytes have to be inserted, left out or replaced to turn a into b. Of
// long texts it compares the beginnings.
func distance(a, b string) int {
	a, b = a[:min(len(a), decision.MaxBatchIDLength)], b[:min(len(b), decision.MaxBatchIDLength)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := corner
			if a[i] != b[j] {
				replaced++
			}
			corner, row[j+1] = row[j+1], min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
