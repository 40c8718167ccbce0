package processor

import (
	"context"
	"time"

	"verdict/internal/decision"
	"verdict/processor/recent"
)

// hold is what the processor knows about one claim.
type hold struct {
	ctx       context.Context // ends when calls for the claim's decisions are to be aborted
	cancel    context.CancelFunc
	active    int           // jobs that are working or settling, and records being admitted
	revoked   bool          // no more of its decisions may start
	idle      chan struct{} // closed at active == 0 once revoked
	unsettled unsettled     // its records, for the metric of the oldest
	recent    recent.Memory // of its partition; it goes when the claim does
}

// done ends the activity of one job.
func (h *hold) done() {
	h.active--
	if h.active == 0 && h.revoked {
		close(h.idle)
	}
}

// claims has the hold of each claim that is not drained.
type claims map[Claim]*hold

// of returns the hold on a claim, which the claim's first record creates.
func (c claims) of(claim Claim) *hold {
	h := c[claim]
	if h == nil {
		ctx, cancel := context.WithCancel(context.Background())
		h = &hold{ctx: ctx, cancel: cancel}
		c[claim] = h
	}
	return h
}

// oldest returns the time of the oldest record of a lane that is held and
// not settled; zero: there is none.
func (c claims) oldest(lane decision.Lane) time.Time {
	if j := c.oldestJob(lane); j != nil {
		return j.since()
	}
	return time.Time{}
}

// oldestJob returns the oldest record of a lane that is held and not settled; nil:
// there is none. A partition that is being drained does not count: its records are
// settled within seconds, or held by the next owner.
func (c claims) oldestJob(lane decision.Lane) (oldest *job) {
	for _, h := range c {
		if j := h.unsettled.first; j != nil && j.Lane == lane && (oldest == nil || j.since().Before(oldest.since())) {
			oldest = j
		}
	}
	return oldest
}

// unsettled holds the records of one claim that are admitted and not settled,
// in the order of their offsets. Producers stamp a partition's records in
// roughly that order, so the first is roughly the oldest, and keeping it costs
// two pointers per record.
type unsettled struct{ first, last *job }

func (u *unsettled) add(j *job) {
	older := u.last
	for older != nil && older.rec.Offset > j.rec.Offset {
		older = older.older // j was parked
	}
	j.older = older
	if older == nil {
		u.first, j.newer = j, u.first
	} else {
		older.newer, j.newer = j, older.newer
	}
	if j.newer == nil {
		u.last = j
	} else {
		j.newer.older = j
	}
}

func (u *unsettled) remove(j *job) {
	if j.older == nil {
		u.first = j.newer
	} else {
		j.older.newer = j.newer
	}
	if j.newer == nil {
		u.last = j.older
	} else {
		j.newer.older = j.older
	}
	j.older, j.newer = nil, nil
}
