package term

import (
	"cmp"
	"maps"
	"slices"
)

// ByCount returns the keys of a histogram, the most frequent first.
func ByCount[K cmp.Ordered](counts map[K]int64) []K {
	return slices.SortedFunc(maps.Keys(counts), func(a, b K) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
}
