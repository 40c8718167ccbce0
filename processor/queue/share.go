package queue

import "verdict/internal/decision"

// maxAhead is how many calls backfill may be ahead of its minimum share.
const maxAhead = 10

// Share divides calls between the lanes: live first, except for the minimum
// share that backfill is owed while both have work.
type Share struct {
	min  float64 // of the calls, for backfill while both lanes have work
	owed float64 // calls that backfill is owed
}

// NewShare returns a Share that keeps this part of the calls for backfill, 0 to below
// 1. With 0, backfill waits until live has no work.
func NewShare(backfill float64) Share { return Share{min: backfill} }

// Next returns the lane whose turn it is; ok is false when neither has work.
func (s *Share) Next(live, backfill bool) (lane decision.Lane, ok bool) {
	switch {
	case live && backfill && s.owed >= 1:
		return decision.Backfill, true
	case live:
		return decision.Live, true
	default:
		return decision.Backfill, backfill
	}
}

// Charge counts a call of a lane. backfill reports whether the backfill lane
// still has work. What backfill took while live had none does not count, so that
// a live decision that arrives now goes at once, however busy backfill was.
func (s *Share) Charge(lane decision.Lane, backfill bool) {
	switch {
	case lane == decision.Backfill:
		s.owed = max(s.owed-(1-s.min), -maxAhead*s.min)
	case backfill:
		s.owed += s.min
	default:
		s.owed = min(s.owed, 0)
	}
}
