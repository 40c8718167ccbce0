package processor

import (
	"sync"
	"time"

	"verdict/internal/decision"
	"verdict/processor/queue"
)

// Status is what an operator wants to know of a Processor at one moment.
type Status struct {
	Pauses      []Pause // that last, in the order of decision.PauseCauses
	RateAllowed float64 // calls a second that this instance may make; +Inf: unlimited
	RateUsed    float64 // calls a second that it made over the last minute
	InFlight    int     // calls
	DeadLetters int     // of the last minute
	Lanes       [len(decision.Lanes)]LaneStatus
}

// Pause is a pause of all calls.
type Pause struct {
	Cause decision.PauseCause
	Since time.Time
}

// LaneStatus is what an operator wants to know of a lane.
type LaneStatus struct {
	Pauses  []LanePause // that last, in the order of decision.LanePauseCauses
	Refused []string    // batches that are held because the API refuses them; empty: what has none
	Pending int         // decisions fetched and not settled
	Oldest  *Oldest     // nil: none is pending
}

// LanePause is a pause of one lane.
type LanePause struct {
	Cause decision.LanePauseCause
	Since time.Time
}

// Oldest is the oldest pending decision of a lane, and why it waits.
type Oldest struct {
	DecisionID string // empty while the record is being read
	Origin     decision.Position
	Time       time.Time // of its record
	Wait       Wait
	Attempts   int                 // that ended
	Cause      decision.RetryCause // of the latest attempt's failure; empty: none failed here
	Due        time.Time           // of WaitRetry: not before then
}

// Wait is what a decision waits for.
type Wait string

// What a decision waits for.
const (
	WaitReading Wait = "reading" // it is being read, perhaps with a schema from the registry
	WaitTask    Wait = "task"    // an earlier decision on its task
	WaitLookup  Wait = "lookup"  // the look-up of the task of an earlier decision on its profile
	WaitPause   Wait = "pause"   // the end of a pause, or its turn to be the probe
	WaitTurn    Wait = "turn"    // a token of the rate limit, and a worker
	WaitCall    Wait = "call"    // the API's answer
	WaitRetry   Wait = "retry"   // the time of its next attempt
	WaitReview  Wait = "review"  // the outcome of its profile, which its result will carry
	WaitStorage Wait = "storage" // Kafka's acknowledgement of its result or dead letter
)

// Status returns the status at now.
func (p *Processor) Status(now time.Time) Status {
	s := Status{RateAllowed: p.tokens.limit(), RateUsed: p.calls.perSecond(now), DeadLetters: p.letters.inLastMinute(now)}
	p.do(func(m *machines, _ time.Time) { m.describe(&s, now) })
	return s
}

// describe adds to a status what the machines know.
func (m *machines) describe(s *Status, now time.Time) {
	paused := false // every lane; an outage pauses its own
	for _, cause := range decision.PauseCauses {
		if since, on := m.pauses.since[cause]; on {
			s.Pauses = append(s.Pauses, Pause{cause, since})
			paused = paused || cause != decision.PausedOutage
		}
	}
	for _, lane := range decision.Lanes {
		s.InFlight += m.load.inFlight[lane]
		l := &s.Lanes[lane]
		l.Refused = m.guard.HeldBatches(lane)
		l.Pending = m.admission.room.Items(lane)
		for _, cause := range decision.LanePauseCauses {
			if since, on := m.pauses.laneSince[lanePause{lane, cause}]; on {
				l.Pauses = append(l.Pauses, LanePause{cause, since})
			}
		}
		if j := m.claims.oldestJob(lane); j != nil {
			l.Oldest = describe(j, now, paused || len(l.Pauses) > 0)
		}
	}
}

// describe returns what is known of a job. It reads nothing that whoever has the job may
// be writing.
func describe(j *job, now time.Time, paused bool) *Oldest {
	o := &Oldest{Origin: j.rec.Origin(), Time: j.since()}
	turn, due := j.Turn()
	if turn == queue.Outside && !j.ending {
		o.Wait = WaitReading
		return o
	}
	o.DecisionID, o.Attempts = j.dec.ID, j.shown
	switch {
	case j.working:
		o.Wait = WaitCall
		return o
	case turn == queue.Delayed && due.After(now) && j.held:
		o.Wait, o.Attempts = WaitPause, j.Attempts
	case turn == queue.Delayed && due.After(now):
		o.Wait, o.Due, o.Attempts = WaitRetry, due, j.Attempts
	case j.ending || j.settling:
		o.Wait = WaitStorage
	case turn == queue.Taken:
		o.Wait, o.Attempts = WaitReview, j.Attempts
	default:
		o.Wait, o.Attempts = waitInQueue(turn, paused), j.Attempts
	}
	o.Cause = j.cause
	return o
}

// waitInQueue returns what a decision waits for that no worker has.
func waitInQueue(turn queue.Turn, paused bool) Wait {
	switch turn {
	case queue.BehindTask:
		return WaitTask
	case queue.BehindGate:
		return WaitLookup
	case queue.Delayed, queue.Ready:
		if paused {
			return WaitPause
		}
	case queue.Outside, queue.Taken: // in a worker's hands, or the publisher's
	}
	return WaitTurn
}

// callCounter counts the API calls of the last minute.
type callCounter struct {
	mu    sync.Mutex // guards what follows; workers add calls
	began time.Time  // when counting began
	calls lastMinute
}

func (c *callCounter) add(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls.add(now)
}

// perSecond returns the calls a second over the last minute, or since counting began.
func (c *callCounter) perSecond(now time.Time) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	over := min(max(now.Sub(c.began), time.Second), time.Minute)
	return float64(c.calls.count(now)) / over.Seconds()
}

// lastMinute counts what happened in the last minute, to the second. Its zero value is
// ready to use.
type lastMinute [60]struct {
	second int64 // of Unix time
	n      int
}

func (m *lastMinute) add(now time.Time) {
	b := &m[now.Unix()%60]
	if b.second != now.Unix() {
		b.second, b.n = now.Unix(), 0
	}
	b.n++
}

func (m *lastMinute) count(now time.Time) (n int) {
	for _, b := range m {
		if age := now.Unix() - b.second; age >= 0 && age < 60 {
			n += b.n
		}
	}
	return n
}
