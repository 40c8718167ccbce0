package processor

import (
	"container/heap"
	"context"
	"slices"
	"time"

	"verdict/internal/decision"
)

// job is a decision on its way, with the record that it came in.
//
//	            ┌────────────── retry: delayed ◄─────────────┐
//	            ▼                                            │
//	admitted ─► waiting ─► ready ─► in flight ─► settling ─► gone
//	            (behind its task)   (a worker)   (publishing)
type job struct {
	lane     decision.Lane
	claim    Claim
	hold     *hold
	rec      decision.Record
	dec      decision.Decision
	size     int64
	received time.Time
	seq      uint64 // order of arrival
	task     *task
	older    *job // beside it in its claim's unsettled; under the processor's lock
	newer    *job

	traceparent string // what its calls and its result carry; empty: nothing
	spans       *spans // nil: nobody traces it

	// What follows is written by whoever has the job: the queue under the
	// processor's lock, or the one worker that it was given to.
	decision.Progress
	spell    uint64 // the breaker's spell in which attempts were last spent
	spent    int    // of attempts, those spent in that spell
	due      time.Time
	delayed  int // index in queue.delayed; -1: not there
	permit   permit
	working  bool // a worker, or the dispatcher on its behalf, has it
	settling bool // its record is being published, or about to be, and it is counted
	gone     bool // it is settled
	panics   int  // outside of its calls
	// instead is what is to be done with it in place of a call; nil: the call.
	// Set after a panic, when another call is not what is missing.
	instead func(ctx context.Context)

	foundAt  time.Time // when the list was asked for by which the task of a Key is known
	again    bool      // the list was asked for once more, because the task was gone
	profile  *profile  // not nil: no decision, but the look at a profile (see profile.go)
	finished bool      // its call is done, and its result was held for its profile's look
}

// fresh says whether it is a decision that was never tried.
func (j *job) fresh() bool { return j.Attempts == 0 && j.profile == nil }

// task is the queue of the decisions on one task. At most one of them is begun;
// once it is, it keeps the task until it is settled, and only then live goes
// before backfill. Within a lane they go in the order they came.
type task struct {
	key     decision.Task
	begun   *job
	waiting [len(decision.Lanes)][]*job
	gate    bool          // of a profile, see gate.go
	ready   int           // index in the ready heap; -1: not ready
	lane    decision.Lane // of the ready heap
}

// head is the decision that goes next, if any.
func (t *task) head() *job {
	if t.begun != nil {
		return t.begun
	}
	for _, w := range t.waiting {
		if len(w) > 0 {
			return w[0]
		}
	}
	return nil
}

// laneQueue is what waits in one lane.
type laneQueue struct {
	ready   readyHeap
	pending int   // decisions admitted and not yet gone
	bytes   int64 // of their records
}

// queue holds every decision that was admitted and is not settled, and says
// which goes next. It is pure: no lock, no clock, no goroutine.
type queue struct {
	lanes    [len(decision.Lanes)]laneQueue
	tasks    map[decision.Task]*task
	delayed  delayHeap
	seq      uint64
	minShare float64
	owed     float64 // calls that backfill is owed of its minimum share
	gates    int     // of tasks, those that are gates
	// profiles counts the tasks of each profile; nil: nobody asks.
	profiles map[string]int
}

func newQueue(minShare float64) *queue {
	return &queue{tasks: make(map[decision.Task]*task), minShare: minShare, seq: decisionsFrom}
}

// admit counts the job into its lane if there is room. A lane that is empty
// takes any job, however large.
func (q *queue) admit(j *job, most int, mostBytes int64) bool {
	l := &q.lanes[j.lane]
	if l.pending > 0 && (l.pending >= most || l.bytes+j.size > mostBytes) {
		return false
	}
	l.pending++
	l.bytes += j.size
	return true
}

// leave counts the job out of its lane.
func (q *queue) leave(j *job) {
	l := &q.lanes[j.lane]
	l.pending--
	l.bytes -= j.size
}

// add puts a job behind the others of its task, or of its profile's gate.
func (q *queue) add(j *job) {
	q.seq++
	j.seq, j.delayed = q.seq, -1
	if (q.gates > 0 || j.keyed()) && q.wait(j) {
		return
	}
	q.join(j)
}

// join puts a job whose task is known among the others of it, in the order in
// which they came.
func (q *queue) join(j *job) {
	t := q.tasks[j.dec.Task]
	if t == nil {
		t = &task{key: j.dec.Task, ready: -1}
		q.know(t)
	}
	j.task = t
	w := t.waiting[j.lane]
	at := len(w)
	for at > 0 && w[at-1].seq > j.seq {
		at--
	}
	t.waiting[j.lane] = slices.Insert(w, at, j)
	if t.begun == nil {
		q.settleReady(t)
	}
}

// know and forget keep the set of tasks, and what is counted of it.
func (q *queue) know(t *task) {
	q.tasks[t.key] = t
	if t.gate {
		q.gates++
	}
	if q.profiles != nil {
		q.profiles[t.key.ProfileID]++
	}
}

func (q *queue) forget(t *task) {
	delete(q.tasks, t.key)
	if t.gate {
		q.gates--
	}
	if q.profiles != nil {
		if q.profiles[t.key.ProfileID]--; q.profiles[t.key.ProfileID] <= 0 {
			delete(q.profiles, t.key.ProfileID)
		}
	}
}

// settleReady puts a task where its head belongs: into its lane's ready heap, or
// nowhere if there is none.
func (q *queue) settleReady(t *task) {
	if t.gate && t.begun == nil {
		q.release(t)
	}
	j := t.head()
	if t.ready >= 0 && (j == nil || t.lane != j.lane) {
		heap.Remove(&q.lanes[t.lane].ready, t.ready)
	}
	switch {
	case j == nil:
		q.forget(t)
	case t.ready >= 0:
		q.lanes[t.lane].ready[t.ready].seq = j.seq
		heap.Fix(&q.lanes[t.lane].ready, t.ready)
	default:
		t.lane = j.lane
		heap.Push(&q.lanes[t.lane].ready, t)
	}
}

// next is the lane whose turn it is: live, but for the share that backfill is
// owed while both wait. ok is false when nothing is ready, or only backfill
// while mayBackfill is false.
func (q *queue) next(mayBackfill bool) (lane decision.Lane, ok bool) {
	live := len(q.lanes[decision.Live].ready) > 0
	backfill := mayBackfill && len(q.lanes[decision.Backfill].ready) > 0
	switch {
	case live && backfill && q.owed >= 1:
		return decision.Backfill, true
	case live:
		return decision.Live, true
	default:
		return decision.Backfill, backfill
	}
}

// begin takes the first ready decision of a lane out, and makes it the one of
// its task that is begun. fresh prefers the oldest that was never tried, and is
// no look at a profile.
func (q *queue) begin(lane decision.Lane, fresh bool) *job {
	ready := &q.lanes[lane].ready
	at := 0
	if fresh {
		best := (*ready)[0].task.head()
		for i, r := range *ready {
			if j := r.task.head(); j.fresh() && (!best.fresh() || j.seq < best.seq) {
				at, best = i, j
			}
		}
	}
	t := heap.Remove(ready, at).(*task)
	j := t.head()
	if t.begun == nil {
		t.begun = j
		w := t.waiting[j.lane]
		w[0] = nil
		t.waiting[j.lane] = w[1:]
	}
	return j
}

// charge counts a call against the minimum share of backfill. What backfill took
// while live had nothing counts for it, so that a live decision that comes now
// and then goes at once, however busy backfill was.
func (q *queue) charge(lane decision.Lane) {
	const most = 10 // calls that backfill may be ahead by
	switch {
	case lane == decision.Backfill:
		q.owed = max(q.owed-(1-q.minShare), -most*q.minShare)
	case len(q.lanes[decision.Backfill].ready) > 0:
		q.owed += q.minShare
	default:
		q.owed = min(q.owed, 0)
	}
}

// done ends a decision that was begun; the next of its task becomes ready.
func (q *queue) done(j *job) {
	j.task.begun = nil
	q.settleReady(j.task)
}

// delay makes a decision that was begun ready when it is due. Until then it
// holds its own task alone.
func (q *queue) delay(j *job, due time.Time) {
	j.due = due
	heap.Push(&q.delayed, j)
}

// ripen makes ready what is due at now, and says when the next will be; zero:
// nothing is delayed.
func (q *queue) ripen(now time.Time) time.Time {
	for len(q.delayed) > 0 {
		j := q.delayed[0]
		if j.due.After(now) {
			return j.due
		}
		heap.Pop(&q.delayed)
		q.settleReady(j.task)
	}
	return time.Time{}
}

// remove takes out every decision that matches and is not in the hands of a
// worker.
func (q *queue) remove(match func(*job) bool) []*job {
	var removed []*job
	for _, t := range q.tasks {
		for lane, w := range t.waiting {
			var kept []*job
			for _, j := range w {
				if match(j) {
					removed = append(removed, j)
				} else {
					kept = append(kept, j)
				}
			}
			t.waiting[lane] = kept
		}
		j := t.begun
		switch {
		case j == nil:
		case !match(j):
			continue
		case j.delayed >= 0:
			heap.Remove(&q.delayed, j.delayed)
			removed = append(removed, j)
			t.begun = nil
		case t.ready >= 0:
			removed = append(removed, j)
			t.begun = nil
		default:
			continue // in flight or settling; done will see to the rest
		}
		q.settleReady(t)
	}
	return removed
}

// begunWaiting calls each with every decision that was begun and is not in the hands
// of a worker.
func (q *queue) begunWaiting(each func(*job)) {
	for _, j := range q.delayed {
		each(j)
	}
	for i := range q.lanes {
		for _, r := range q.lanes[i].ready {
			if r.task.begun != nil {
				each(r.task.begun)
			}
		}
	}
}

// readyHeap is tasks by the arrival of their heads, oldest first. The arrival
// stands beside the task, so that sifting touches no task but those it moves.
type readyHeap []readyTask

type readyTask struct {
	seq  uint64
	task *task
}

func (h readyHeap) Len() int           { return len(h) }
func (h readyHeap) Less(a, b int) bool { return h[a].seq < h[b].seq }
func (h readyHeap) Swap(a, b int) {
	h[a], h[b] = h[b], h[a]
	h[a].task.ready, h[b].task.ready = a, b
}
func (h *readyHeap) Push(x any) {
	t := x.(*task)
	t.ready = len(*h)
	*h = append(*h, readyTask{t.head().seq, t})
}
func (h *readyHeap) Pop() any {
	last := len(*h) - 1
	t := (*h)[last].task
	(*h)[last] = readyTask{}
	*h = (*h)[:last]
	t.ready = -1
	return t
}

// delayHeap is decisions by when they are due.
type delayHeap []*job

func (h delayHeap) Len() int           { return len(h) }
func (h delayHeap) Less(a, b int) bool { return h[a].due.Before(h[b].due) }
func (h delayHeap) Swap(a, b int) {
	h[a], h[b] = h[b], h[a]
	h[a].delayed, h[b].delayed = a, b
}
func (h *delayHeap) Push(x any) {
	j := x.(*job)
	j.delayed = len(*h)
	*h = append(*h, j)
}
func (h *delayHeap) Pop() any {
	last := len(*h) - 1
	j := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	j.delayed = -1
	return j
}
