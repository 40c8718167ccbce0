package processor

import (
	"time"

	"verdict/internal/decision"
)

// unsettled is the records of one claim that are admitted and not settled, in the
// order of their offsets. Producers stamp a partition's records in about that
// order, so the first is about the oldest, and to know it costs nothing but two
// pointers a record.
type unsettled struct{ first, last *job }

func (h *unsettled) add(j *job) {
	j.older, j.newer = h.last, nil
	if h.last == nil {
		h.first = j
	} else {
		h.last.newer = j
	}
	h.last = j
}

func (h *unsettled) remove(j *job) {
	if j.older == nil {
		h.first = j.newer
	} else {
		j.older.newer = j.newer
	}
	if j.newer == nil {
		h.last = j.older
	} else {
		j.newer.older = j.older
	}
	j.older, j.newer = nil, nil
}

// oldest is the timestamp of the oldest record of a lane that is held and not
// settled; zero: none is. What a partition in drain still holds is not counted:
// it is settled within seconds, or held by the next owner.
func (p *Processor) oldest(lane decision.Lane) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	var oldest time.Time
	for _, h := range p.claims {
		if j := h.unsettled.first; j != nil && j.lane == lane && (oldest.IsZero() || j.rec.Time.Before(oldest)) {
			oldest = j.rec.Time
		}
	}
	return oldest
}
