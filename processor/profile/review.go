package profile

import (
	"slices"
	"time"

	"verdict/internal/decision"
)

func (r *Reviews[R]) start(profileID string, p *profile[R]) {
	lane := decision.Backfill
	for _, h := range p.held {
		lane = min(lane, h.Lane())
	}
	p.review = &Review[R]{ProfileID: profileID, Lane: lane}
	r.ready[lane] = append(r.ready[lane], p.review)
}

// Ready reports whether a review of the lane can begin.
func (r *Reviews[R]) Ready(lane decision.Lane) bool { return len(r.ready[lane]) > 0 }

// Begin takes the oldest ready review of a lane, which must have one. Its call
// is made by the caller, who then ends it or tries it again.
func (r *Reviews[R]) Begin(lane decision.Lane) *Review[R] {
	v := r.ready[lane][0]
	r.ready[lane] = slices.Delete(r.ready[lane], 0, 1)
	v.working = true
	return v
}

// Collect makes everything that is held by now wait for this review, whose call
// is about to be made.
func (r *Reviews[R]) Collect(v *Review[R]) {
	p := r.profiles[v.ProfileID]
	p.batch = append(p.batch, p.held...)
	p.held = nil
}

// Again makes a review whose call failed ready once more at due.
func (r *Reviews[R]) Again(v *Review[R], due time.Time) {
	v.working, v.due = false, due
	r.delayed = append(r.delayed, v)
}

// Ripen makes the reviews ready that are due at now. It returns when the next
// one is due; zero: none is delayed.
func (r *Reviews[R]) Ripen(now time.Time) (next time.Time) {
	if len(r.delayed) == 0 {
		return time.Time{}
	}
	r.delayed = slices.DeleteFunc(r.delayed, func(v *Review[R]) bool {
		if v.due.After(now) {
			if next.IsZero() || v.due.Before(next) {
				next = v.due
			}
			return false
		}
		r.ready[v.Lane] = append(r.ready[v.Lane], v)
		return true
	})
	return next
}

// MayRetry reports whether a review whose call failed may be tried again: not
// while a partition of its results is being given up.
func (r *Reviews[R]) MayRetry(v *Review[R]) bool {
	return !r.profiles[v.ProfileID].draining()
}

// Active reports whether the review has not ended.
func (r *Reviews[R]) Active(v *Review[R]) bool {
	p := r.profiles[v.ProfileID]
	return p != nil && p.review == v
}

// End ends a review. It returns the results that waited for it, which are to be
// published: those that were there when its call was made or, if none was made,
// all of them.
func (r *Reviews[R]) End(v *Review[R], now time.Time) []R {
	return r.take(v.ProfileID, r.profiles[v.ProfileID], now)
}

// take takes the results of the profile's review, or all if it has none.
func (r *Reviews[R]) take(profileID string, p *profile[R], now time.Time) []R {
	results := p.batch
	p.batch = nil
	if v := p.review; v != nil && v.working {
		p.since = now // of those that wait for the next review
	} else {
		results = append(results, p.held...)
		p.held = nil
	}
	if v := p.review; v != nil {
		p.review = nil
		r.ready[v.Lane] = remove(r.ready[v.Lane], v)
		r.delayed = remove(r.delayed, v)
	}
	for _, h := range results {
		r.held[h.Lane()]--
		r.bytes[h.Lane()] -= h.Bytes()
	}
	r.forget(profileID, p)
	return results
}

func remove[R Held](reviews []*Review[R], v *Review[R]) []*Review[R] {
	if at := slices.Index(reviews, v); at >= 0 {
		return slices.Delete(reviews, at, at+1)
	}
	return reviews
}

// Flush ends the wait of every profile with a partition that is being given up:
// its results are to be published without an outcome. Reviews whose call is being
// made are returned instead; the caller aborts the call and ends them.
func (r *Reviews[R]) Flush(now time.Time) (results []R, working []*Review[R]) {
	for id, p := range r.profiles {
		switch {
		case !p.draining():
		case p.review != nil && p.review.working:
			working = append(working, p.review)
		default:
			results = append(results, r.take(id, p, now)...)
		}
	}
	return results, working
}

// Waiting returns how many results of a lane wait, and the bytes of the API's
// answers in them.
func (r *Reviews[R]) Waiting(lane decision.Lane) (results, bytes int) {
	return r.held[lane], r.bytes[lane]
}

// Empty reports whether no profile is known and nothing is held.
func (r *Reviews[R]) Empty() bool {
	var zero [len(decision.Lanes)]int
	return len(r.profiles) == 0 && r.held == zero && r.bytes == zero
}
