package remembered

import (
	"math"
	"slices"
)

// MaxAsked bounds the rows that Asked holds.
const MaxAsked = 1 << 20

// Asked are the rows of a file of which it is asked in which batches they were sent. It is for
// one goroutine.
//
// Of too many it holds a sample of at least MaxAsked/4: the rows that are divisible by a power
// of two, which is every second of them, every fourth and so on. Rows are hashes, so this is
// a fair sample, and the same row is always in it or never.
type Asked struct {
	rows   []uint64
	every  uint64 // the power of two; 0: 1
	sorted bool
}

// Add adds a row. A row that is added again counts once.
func (a *Asked) Add(r Row) {
	if a.every > 1 && uint64(r)&(a.every-1) != 0 {
		return
	}
	a.rows, a.sorted = append(a.rows, uint64(r)), false
	for len(a.rows) > MaxAsked {
		a.compact()
		if len(a.rows) <= MaxAsked/2 { // it held repetitions
			break
		}
		a.every = max(a.every, 1) * 2
		a.rows = slices.DeleteFunc(a.rows, func(r uint64) bool { return r&(a.every-1) != 0 })
	}
}

func (a *Asked) compact() {
	if !a.sorted {
		slices.Sort(a.rows)
		a.rows, a.sorted = slices.Compact(a.rows), true
	}
}

// Rows returns the number of different rows that were added; of a sample, an estimate.
func (a *Asked) Rows() int64 {
	a.compact()
	return int64(len(a.rows)) * int64(max(a.every, 1))
}

// Every returns of how many rows one is held.
func (a *Asked) Every() int64 { return int64(max(a.every, 1)) }

// Held returns the number of rows that are held.
func (a *Asked) Held() int {
	a.compact()
	return len(a.rows)
}

// Index returns which of the rows that are held, from 0, a row is.
func (a *Asked) Index(r Row) (i int, held bool) {
	a.compact()
	return slices.BinarySearch(a.rows, uint64(r))
}

// In returns how many of the rows a Filter seems to have.
func (a *Asked) In(f *Filter) Match {
	a.compact()
	m := Match{asked: int64(len(a.rows)), every: int64(max(a.every, 1)), filters: 1}
	for _, r := range a.rows {
		if f.Has(Row(r)) {
			m.matches++
		}
	}
	return m
}

// Match says how many of the rows that are asked for a batch seems to have.
type Match struct {
	asked   int64 // rows that were looked for
	every   int64 // of so many rows one was looked for
	filters int64
	matches int64 // in all filters
}

// Add adds the match with another filter of the same batch. The zero Match is none yet.
func (m Match) Add(other Match) Match {
	other.filters += m.filters
	other.matches += m.matches
	return other
}

// Likely returns how many of the rows that are asked for are likely to be in the batch: the
// matches, without those to be expected by chance.
func (m Match) Likely() int64 {
	if m.asked == 0 {
		return 0
	}
	likely := (float64(m.matches) - m.ByChance()) / (1 - Chance)
	return min(int64(math.Round(max(likely, 0))), m.asked) * m.every
}

// ByChance returns the number of matches to be expected of rows of which none is in the batch.
func (m Match) ByChance() float64 { return float64(m.asked) * float64(m.filters) * Chance }

// Suspected reports whether there are more matches than chance explains: of a million files
// that have no row of the batch, less than one is suspected all the same. A file of a few
// rows, which can't prove as much, is suspected if all of them match; one row does by chance
// once in 256 for each filter. Fewer rows than Least may be in the batch without being
// suspected.
func (m Match) Suspected() bool { return m.matches > 0 && float64(m.matches) >= m.threshold() }

// Least returns how many of the rows must be in the batch for it to be suspected without
// fail; of a sample, nearly so.
func (m Match) Least() int64 { return int64(m.threshold()) * m.every }

// threshold returns the number of matches that chance reaches once in a million at most. The
// matches by chance are nearly Poisson's, and Chernoff's bound on them is
// exp(-mean) (e mean / k)^k for k above the mean.
func (m Match) threshold() float64 {
	mean := m.ByChance()
	if mean == 0 {
		return 1
	}
	low, high := mean, mean+30+10*math.Sqrt(mean)
	for high-low > 0.5 {
		k := (low + high) / 2
		if -mean+k*(1+math.Log(mean/k)) > math.Log(1e-6) {
			low = k
		} else {
			high = k
		}
	}
	return min(math.Ceil(high), float64(m.asked))
}
