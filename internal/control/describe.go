package control

import (
	"strings"
	"time"

	"verdict/internal/decision"
	"verdict/internal/ledger"
)

// fresh is how old an instance's entry may be. It writes one every few seconds; one that
// was killed leaves its last one.
const fresh = 90 * time.Second

// instances returns the instances that are at work.
func instances(s *ledger.State, now time.Time) []ledger.Entry {
	var all []ledger.Entry
	for _, e := range s.Of(ledger.KindInstance) {
		if now.Sub(e.At).Abs() < fresh {
			all = append(all, e)
		}
	}
	return all
}

// Describe names what a key is about, in words: "batch spring-review", "lane backfill",
// "task PROFILE/TASK", "rate".
func Describe(key ledger.Key) string {
	switch key.Kind {
	case ledger.KindHold:
		kind, name, _ := strings.Cut(key.Name, "/")
		return kind + " " + decision.OneLine(name, 200)
	case ledger.KindRate:
		return "the rate"
	case ledger.KindBatch, ledger.KindRedrive, ledger.KindInstance:
		return string(key.Kind) + " " + decision.OneLine(key.Name, 200)
	}
	return decision.OneLine(key.Name, 200)
}

// batchOf returns the batch that a key of a hold is about; empty: it is about none.
func batchOf(key ledger.Key) string {
	id, ok := strings.CutPrefix(key.Name, "batch/")
	if !ok || key.Kind != ledger.KindHold {
		return ""
	}
	return id
}
