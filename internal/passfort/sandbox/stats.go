package sandbox

import (
	"strconv"
	"sync/atomic"
)

// counters are written by the goroutine of each call and read by Stats.
type counters struct {
	requests          atomic.Int64
	completions       atomic.Int64
	repeatCompletions atomic.Int64
	inFlight          atomic.Int64
	maxInFlight       atomic.Int64
	accepted          atomic.Int64 // calls past key and rate limit; numbers them for ErrorRate and Jitter
	byStatus          [1000]atomic.Int64
}

// begin counts a call that arrives and returns its number.
func (c *counters) begin() int64 {
	n := c.inFlight.Add(1)
	for {
		highest := c.maxInFlight.Load()
		if n <= highest || c.maxInFlight.CompareAndSwap(highest, n) {
			break
		}
	}
	return c.requests.Add(1)
}

// end notes that a call has ended.
func (c *counters) end() { c.inFlight.Add(-1) }

// Totals are counts since the start, in the JSON form of GET /_sandbox/stats.
type Totals struct {
	Requests          int64            `json:"requests"`           // API calls that arrived
	Completions       int64            `json:"completions"`        // completions applied, also if a Fault replaced the answer
	ByStatus          map[string]int64 `json:"by_status"`          // answers begun, by status
	MaxInFlight       int64            `json:"max_in_flight"`      // most calls at the same time
	DistinctTasks     int64            `json:"distinct_tasks"`     // tasks that were read or completed
	RepeatCompletions int64            `json:"repeat_completions"` // completions of a task that was already complete, in either state
}

// Stats returns the counts so far. While calls are running, they need not belong to
// the same moment.
func (s *Sandbox) Stats() Totals {
	by := make(map[string]int64)
	for status := range s.counts.byStatus {
		if n := s.counts.byStatus[status].Load(); n > 0 {
			by[strconv.Itoa(status)] = n
		}
	}
	return Totals{
		Requests:          s.counts.requests.Load(),
		Completions:       s.counts.completions.Load(),
		ByStatus:          by,
		MaxInFlight:       s.counts.maxInFlight.Load(),
		DistinctTasks:     s.tasks.count(),
		RepeatCompletions: s.counts.repeatCompletions.Load(),
	}
}
