package processor

import (
	"context"
	"time"

	"verdict/internal/decision"
)

// With Options.ProfileOutcome a result waits, once its decision is carried out,
// for one look at its profile's tasks:
//
//	call done ─► held ─► (the profile is quiet) ─► look ─► publishing ─► gone
//
// A profile is quiet when none of its decisions has a call before it: each is
// held, or waits behind one on the same task that is. So a burst costs one look
// for each decision that its busiest task has. What is held keeps its offset and
// its task, and no worker. The look is a job of its own in the queue, with a
// token, a worker and the retries of any call; it goes before the decisions of
// its lane, because what it lets go would be carried out again after a crash.
//
// Whatever becomes of the look, the results go: after profileLife, after a
// refusal or the last attempt, or when a drain can't wait, without the outcome.
const (
	// profileLinger is how long a profile must have been quiet, so that a burst
	// that is still being read counts as one.
	profileLinger = 100 * time.Millisecond
	// profileWait is the longest time that a result waits for its profile to be
	// quiet, so that a stream for one profile does not hold it for ever.
	profileWait = 5 * time.Second
	// profileLife is the longest time from then on until the look is begun for the
	// last time.
	profileLife = time.Minute

	// maxHeldBytes bounds the API's answers in results that wait: usually 1 KiB
	// each, but they may be 1 MiB.
	maxHeldBytes = 32 << 20
)

// profiles is every profile with a decision whose call is done. Under the
// processor's lock. At most maxSettling results are held, or maxHeldBytes of the
// API's answers; then looks are made without waiting, and nothing else is called.
type profiles struct {
	known map[string]*profile
	held  [len(decision.Lanes)]int // results that wait, those in batches included
	bytes [len(decision.Lanes)]int // of the API's answers in them
	looks uint64                   // counts the looks
	wake  chan struct{}            // size 1; nil: there are no looks
	fault string                   // of the last look, so that it is logged when it changes
}

// profile is one of them.
type profile struct {
	id       string
	finished int       // decisions that are done but not gone, and so keep a task
	held     []held    // results that wait for a look
	batch    []held    // results that wait for the look that was begun
	since    time.Time // when the first of them began to wait
	quietAt  time.Time // since when it is quiet; zero: it is not, or was not seen to be
	look     *job      // waiting, or with a worker; nil: none
}

// held is a result that waits.
type held struct {
	j    *job
	wire *decision.Result
}

func newProfiles() profiles {
	return profiles{known: make(map[string]*profile), wake: make(chan struct{}, 1)}
}

// changed makes watchProfiles look again.
func (s *profiles) changed() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// noClaim is the claim of looks: they have no offset.
type noClaim struct{}

func (noClaim) Settle(int64)                       {}
func (noClaim) Attempted(int64, decision.Progress) {}

// holds keeps a result back for the look at its profile, if there is to be one.
// called: the decision's own call completed the task. That is noted with the
// claim first, so that after a crash its next owner looks first and finds it
// done.
func (p *Processor) holds(j *job, wire *decision.Result, called bool) bool {
	if !p.opts.ProfileOutcome {
		return false
	}
	if called {
		j.claim.Attempted(j.rec.Offset, decision.Progress{Attempts: j.Attempts, MaybeApplied: true})
	}
	p.mu.Lock()
	if j.hold.ctx.Err() != nil { // a drain is past waiting
		p.mu.Unlock()
		return false
	}
	if j.working {
		p.handBack(j)
	}
	pr := p.profiles.known[j.dec.Task.ProfileID]
	if pr == nil {
		pr = &profile{id: j.dec.Task.ProfileID}
		p.profiles.known[pr.id] = pr
	}
	if len(pr.held)+len(pr.batch) == 0 {
		pr.since = time.Now()
	}
	if j.task != nil && !j.finished {
		j.finished = true
		pr.finished++
	}
	pr.quietAt = time.Time{}
	pr.held = append(pr.held, held{j, wire})
	p.profiles.held[j.lane]++
	p.profiles.bytes[j.lane] += len(wire.Task)
	p.profiles.changed()
	p.mu.Unlock()
	p.nudge()
	return true
}

// let ends what its profile knows of a decision. Under mu.
func (p *Processor) let(j *job) {
	if !j.finished {
		p.profiles.changed()
		return
	}
	j.finished = false
	pr := p.profiles.known[j.dec.Task.ProfileID]
	pr.finished--
	p.forgetProfile(pr)
	p.profiles.changed()
}

func (p *Processor) forgetProfile(pr *profile) {
	if pr.finished == 0 && pr.look == nil && len(pr.held)+len(pr.batch) == 0 {
		delete(p.profiles.known, pr.id)
	}
}

// watchProfiles begins the looks, each at its time, until ctx ends.
func (p *Processor) watchProfiles(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(p.dueProfiles(time.Now()))
		select {
		case <-p.profiles.wake:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}

// dueProfiles begins the looks that are due and lets go of results that waited
// too long. It says when it is to be asked again.
func (p *Processor) dueProfiles(now time.Time) (again time.Duration) {
	next := now.Add(time.Hour)
	var late []*profile
	p.mu.Lock()
	for _, pr := range p.profiles.known {
		if len(pr.held)+len(pr.batch) == 0 {
			continue
		}
		at := p.dueAt(pr, now)
		switch {
		case at.After(now):
			if at.Before(next) {
				next = at
			}
		case pr.look == nil:
			p.beginLook(pr)
			if pr.draining() {
				p.profiles.changed() // it may have to be given up at once
			}
			if end := pr.since.Add(profileWait + profileLife); end.Before(next) {
				next = end
			}
		default:
			late = append(late, pr)
		}
	}
	var batches [][]held
	for _, pr := range late {
		batches = append(batches, p.takeHeld(pr))
	}
	p.mu.Unlock()
	for _, batch := range batches {
		p.publishHeld(batch, nil)
	}
	p.nudge()
	return next.Sub(now)
}

// dueAt is when a look is to be begun, or, where it was, when it is to be given
// up unless a worker has it. Under mu.
func (p *Processor) dueAt(pr *profile, now time.Time) time.Time {
	draining := pr.draining()
	if pr.look != nil {
		switch {
		case pr.look.working:
			return now.Add(time.Hour) // it will say
		case draining && (pr.look.Attempts > 0 || p.isPaused() || p.paused[decision.PausedThrottled] || !p.breaker.closed()):
			return now
		}
		return pr.since.Add(profileWait + profileLife)
	}
	if full := p.full(); draining || full.all || full.backfill {
		return now
	}
	at := pr.since.Add(profileWait)
	if p.queue.profiles[pr.id] > pr.finished {
		pr.quietAt = time.Time{}
		return at
	}
	if pr.quietAt.IsZero() {
		pr.quietAt = now
	}
	if quiet := pr.quietAt.Add(profileLinger); quiet.Before(at) {
		return quiet
	}
	return at
}

// draining says whether a partition of the profile's results is being given up.
func (pr *profile) draining() bool {
	for _, results := range [...][]held{pr.batch, pr.held} {
		for _, h := range results {
			if h.j.hold.revoked {
				return true
			}
		}
	}
	return false
}

// beginLook puts a look into the queue. Under mu.
func (p *Processor) beginLook(pr *profile) {
	lane := decision.Backfill
	for _, h := range pr.held {
		lane = min(lane, h.j.lane)
	}
	ctx, cancel := context.WithCancel(p.life)
	p.profiles.looks++
	pr.look = &job{
		lane: lane, claim: noClaim{}, hold: &hold{ctx: ctx, cancel: cancel}, profile: pr,
		dec: decision.Decision{Task: decision.Task{ProfileID: pr.id}}, seq: p.profiles.looks, delayed: -1,
	}
	p.queue.addLook(pr.look)
}

// takeHeld ends a look, and takes what waited for it. Under mu.
func (p *Processor) takeHeld(pr *profile) []held {
	batch := pr.batch
	if pr.look != nil && pr.look.working { // only what was there when it was begun
		pr.since = time.Now() // for the others
	} else {
		batch = append(batch, pr.held...)
		pr.held = nil
	}
	pr.batch = nil
	if pr.look != nil {
		p.queue.removeLook(pr.look)
		pr.look.hold.cancel()
		pr.look = nil
	}
	for _, h := range batch {
		p.profiles.held[h.j.lane]--
		p.profiles.bytes[h.j.lane] -= len(h.wire.Task)
		// At once, and not when it is published: in between others would take the
		// room that it still has.
		p.countSettling(h.j)
	}
	p.forgetProfile(pr)
	return batch
}

// publishHeld publishes what waited for a look, with what it found.
func (p *Processor) publishHeld(batch []held, found *decision.Profile) {
	for _, h := range batch {
		h.wire.Profile = found
		h.j.instead = func(ctx context.Context) { p.publishResult(ctx, h.j, h.wire) } // no second call, after a panic
		p.endUncalled(p.life, h.j, h.j.instead)
	}
}

// flushProfiles lets go of the results of a drain that ran out of time. A look
// that a worker has is aborted, and does it then.
func (p *Processor) flushProfiles() {
	var batches [][]held
	p.mu.Lock()
	for _, pr := range p.profiles.known {
		if !pr.draining() {
			continue
		}
		if pr.look != nil && pr.look.working {
			pr.look.hold.cancel()
			continue
		}
		batches = append(batches, p.takeHeld(pr))
	}
	p.mu.Unlock()
	for _, batch := range batches {
		p.running.Go(func() { p.publishHeld(batch, nil) }) // it may wait for Kafka, and a drain must end
	}
}

// lookAtProfile makes the look. All that is held by now waits for this one.
func (p *Processor) lookAtProfile(ctx context.Context, j *job) verdict {
	pr := j.profile
	p.mu.Lock()
	pr.batch = append(pr.batch, pr.held...)
	pr.held = nil
	p.mu.Unlock()
	l, err := p.listNow(ctx, pr.id)
	if err != nil {
		return classifyLook(err, false)
	}
	return verdict{action: found, listing: l}
}

// looked sees to what came of a look.
func (p *Processor) looked(j *job, v verdict) {
	var outcome *decision.Profile
	wait := time.Duration(-1)
	switch v.action {
	case found:
		outcome = v.listing.outcome()
	case tryAgain:
		p.opts.Metrics.Retries.WithLabelValues(string(v.cause)).Inc()
		if j.Attempts++; j.Attempts < p.opts.MaxAttempts {
			wait = p.policy.Backoff(j.Attempts)
		}
	case later:
		p.opts.Metrics.Retries.WithLabelValues(string(v.cause)).Inc()
		wait = 0
	case suspect:
		if good, err := p.keyIsGood(j); err != nil || !good {
			wait = p.policy.Backoff(3)
		}
	}
	p.mu.Lock()
	pr := j.profile
	p.tellFault(v)
	if wait >= 0 && j.hold.ctx.Err() == nil && !(pr.draining() && v.action != later) {
		p.handBack(j)
		p.queue.delay(j, time.Now().Add(wait))
		p.profiles.changed()
		p.mu.Unlock()
		p.nudge()
		return
	}
	if outcome != nil {
		p.lookups.remember(pr.id, v.listing, time.Now())
	}
	batch := p.takeHeld(pr)
	p.handBack(j)
	p.profiles.changed()
	p.mu.Unlock()
	p.publishHeld(batch, outcome)
	p.nudge()
}

// dropLook ends a look that panicked: its results go without it.
func (p *Processor) dropLook(j *job) {
	p.mu.Lock()
	var batch []held
	if j.profile.look == j {
		batch = p.takeHeld(j.profile)
	}
	if j.working {
		p.handBack(j)
	}
	p.profiles.changed()
	p.mu.Unlock()
	p.publishHeld(batch, nil)
	p.nudge()
}

// tellFault logs why results go without their profile's outcome, when the reason
// changes. Under mu.
func (p *Processor) tellFault(v verdict) {
	fault := ""
	switch {
	case v.action == found || v.action == later:
	case v.err != nil:
		fault = v.err.Error()
	}
	if fault != p.profiles.fault && fault != "" {
		p.log.Warn("looked at a profile's tasks for the outcome in its results; without an answer they go without it", "err", v.err)
	}
	if v.action != later {
		p.profiles.fault = fault
	}
}
