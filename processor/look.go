package processor

import (
	"container/heap"

	"verdict/internal/decision"
)

// This is the queue's part in looks at profiles, see profile.go.

// decisionsFrom is above the number of any look, so that looks are the first of
// their lane.
const decisionsFrom = 1 << 40

// addLook makes a look ready. It is the one decision of a task of its own, which
// is none of the profile's.
func (q *queue) addLook(j *job) {
	t := &task{begun: j, ready: -1}
	j.task = t
	q.settleReady(t)
}

// removeLook takes a look out that no worker has.
func (q *queue) removeLook(j *job) {
	switch t := j.task; {
	case j.delayed >= 0:
		heap.Remove(&q.delayed, j.delayed)
	case t.ready >= 0:
		heap.Remove(&q.lanes[t.lane].ready, t.ready)
	}
}

// nextLook is the lane of the look that goes next, if one is ready.
func (q *queue) nextLook(mayBackfill bool) (decision.Lane, bool) {
	for _, lane := range decision.Lanes {
		if q.lookFirst(lane) && (lane == decision.Live || mayBackfill) {
			return lane, true
		}
	}
	return 0, false
}

// lookFirst says whether a look is what goes next of a lane.
func (q *queue) lookFirst(lane decision.Lane) bool {
	ready := q.lanes[lane].ready
	return len(ready) > 0 && ready[0].seq < decisionsFrom
}
