package cli

import (
	"cmp"
	"log/slog"
	"maps"
	"slices"
	"time"
)

// retryTeller logs what fails and is tried again: at once, when it changes, and
// else now and then. It is called one call at a time.
func retryTeller(log *slog.Logger) func(error) {
	var last string
	var at time.Time
	return func(err error) {
		if text := err.Error(); text != last || time.Since(at) >= progressEvery {
			last, at = text, time.Now()
			log.Warn("Kafka does not answer as it should; trying again", "err", err)
		}
	}
}

// byCount are the keys of a count, the most frequent first.
func byCount[K cmp.Ordered](counts map[K]int64) []K {
	return slices.SortedFunc(maps.Keys(counts), func(a, b K) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
}
