package processor

import (
	"sync"
	"time"

	"verdict/internal/decision"
)

// letterLogInterval is the shortest time between two log lines about dead letters of
// one reason.
const letterLogInterval = time.Minute

// letterLog chooses the dead letters that are logged: of each reason the first, and
// then at most one in every letterLogInterval. Its zero value is ready to use.
type letterLog struct {
	mu      sync.Mutex // guards what follows; the publisher's goroutines add letters
	reasons map[decision.Reason]*letterCount
	minute  lastMinute // all of them
}

// letterCount is the dead letters of one reason since the last log line.
type letterCount struct {
	logged time.Time // the last line
	since  int
}

// add counts a dead letter. It returns how many there were since the last log line,
// this one included; 0: this one is not to be logged.
func (l *letterLog) add(reason decision.Reason, now time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.minute.add(now)
	c := l.reasons[reason]
	if c == nil {
		if l.reasons == nil {
			l.reasons = make(map[decision.Reason]*letterCount)
		}
		c = &letterCount{logged: now.Add(-letterLogInterval)}
		l.reasons[reason] = c
	}
	c.since++
	if now.Sub(c.logged) < letterLogInterval {
		return 0
	}
	n := c.since
	c.logged, c.since = now, 0
	return n
}

// inLastMinute returns how many dead letters there were in the last minute.
func (l *letterLog) inLastMinute(now time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.minute.count(now)
}
