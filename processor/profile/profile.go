// Package profile decides when to review a profile. With
// processor.profile_outcome a result waits, once its decision is carried out,
// for one review: a list of its profile's tasks, whose outcome goes into the
// result.
//
//	call done ─► Hold ─► (profile is quiet) ─► review ─► End: published
//
// A profile is quiet when none of its decisions has a call ahead of it: each is
// done, or waits behind one on the same task that is. So a burst costs one review
// for each decision of its busiest task. A result that waits keeps its offset and
// its task, and no worker.
//
// Results are published without the outcome rather than late: after maxLife,
// after a refusal or the last attempt, or when a drain can't wait.
//
// The package is pure: no lock, no clock, no call; the processor owns it, makes
// the calls and publishes.
package profile

import (
	"time"

	"verdict/internal/decision"
)

const (
	// linger is how long a profile must have been quiet, so that a burst that is
	// still being read counts as one.
	linger = 100 * time.Millisecond
	// maxWait bounds how long a result waits for its profile to be quiet, so that
	// a stream of decisions on one profile does not hold it back.
	maxWait = 5 * time.Second
	// maxLife bounds the time from then until the last attempt at the review.
	maxLife = time.Minute
	// idle is when to check the state again if nothing is due.
	idle = time.Hour
)

// Held is a result that waits for the review of its profile.
type Held interface {
	Lane() decision.Lane
	Bytes() int     // of the API's answer in it
	Draining() bool // its partition is being given up
}

// Reviews holds every profile with a decision whose call is done. R is the
// caller's result.
type Reviews[R Held] struct {
	profiles map[string]*profile[R]
	held     [len(decision.Lanes)]int // results that wait
	bytes    [len(decision.Lanes)]int // of the API's answers in them
	ready    [len(decision.Lanes)][]*Review[R]
	delayed  []*Review[R]
}

// profile is a profile with a decision whose call is done.
type profile[R Held] struct {
	done    int       // decisions whose call is done and that keep their task
	held    []R       // results that wait for the next review
	batch   []R       // results that wait for the review whose call was made
	since   time.Time // when the first of them began to wait
	quietAt time.Time // since when it is quiet; zero: it is not, or not seen to be
	review  *Review[R]
}

// Review is one list of a profile's tasks that is to be made, or being made.
type Review[R Held] struct {
	ProfileID string
	Lane      decision.Lane // of its most urgent result
	Attempts  int           // calls that failed

	due     time.Time // when delayed
	working bool      // its call is being made
}

// New returns Reviews without any profile.
func New[R Held]() *Reviews[R] {
	return &Reviews[R]{profiles: make(map[string]*profile[R])}
}

// Hold keeps a result until its profile has been reviewed. keepsTask reports that
// its decision keeps its task and was not held before; Leave must then be called
// once the decision is gone.
func (r *Reviews[R]) Hold(profileID string, result R, keepsTask bool, now time.Time) {
	p := r.profiles[profileID]
	if p == nil {
		p = &profile[R]{}
		r.profiles[profileID] = p
	}
	if p.waiting() == 0 {
		p.since = now
	}
	if keepsTask {
		p.done++
	}
	p.quietAt = time.Time{}
	p.held = append(p.held, result)
	r.held[result.Lane()]++
	r.bytes[result.Lane()] += result.Bytes()
}

// Leave notes that a decision that kept its task is gone.
func (r *Reviews[R]) Leave(profileID string) {
	p := r.profiles[profileID]
	p.done--
	r.forget(profileID, p)
}

func (r *Reviews[R]) forget(profileID string, p *profile[R]) {
	if p.done == 0 && p.review == nil && p.waiting() == 0 {
		delete(r.profiles, profileID)
	}
}

func (p *profile[R]) waiting() int { return len(p.held) + len(p.batch) }

// Surroundings is what Due must know about the processor.
type Surroundings struct {
	Tasks   func(profileID string) int // tasks with decisions that are not gone
	Full    bool                       // as many results wait as may: review at once
	Blocked bool                       // no call may be made now
}

// Due makes the reviews ready that are due, and ends those that took too long:
// their results are to be published without an outcome. It returns when to ask
// again if nothing changes before then.
func (r *Reviews[R]) Due(now time.Time, s Surroundings) (late []R, next time.Time) {
	next = now.Add(idle)
	sooner := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	for id, p := range r.profiles {
		if p.waiting() == 0 {
			continue
		}
		if p.review == nil {
			if at := p.reviewAt(now, s.Tasks(id), s.Full); at.After(now) {
				sooner(at)
				continue
			}
			r.start(id, p)
		}
		if at := p.endAt(now, s.Blocked); at.After(now) {
			sooner(at)
		} else {
			late = append(late, r.End(p.review, now)...)
		}
	}
	return late, next
}

// reviewAt returns when the profile's next review is to start.
func (p *profile[R]) reviewAt(now time.Time, tasks int, full bool) time.Time {
	if full || p.draining() {
		return now
	}
	at := p.since.Add(maxWait)
	if tasks > p.done {
		p.quietAt = time.Time{}
		return at
	}
	if p.quietAt.IsZero() {
		p.quietAt = now
	}
	if quiet := p.quietAt.Add(linger); quiet.Before(at) {
		return quiet
	}
	return at
}

// endAt returns when the profile's review is to be given up, unless its call is
// being made.
func (p *profile[R]) endAt(now time.Time, blocked bool) time.Time {
	switch {
	case p.review.working:
		return now.Add(idle) // the call ends by itself
	case p.draining() && (p.review.Attempts > 0 || blocked):
		return now
	}
	return p.since.Add(maxWait + maxLife)
}

// draining reports whether the partition of one of the results is being given up.
func (p *profile[R]) draining() bool {
	for _, results := range [...][]R{p.batch, p.held} {
		for _, h := range results {
			if h.Draining() {
				return true
			}
		}
	}
	return false
}
