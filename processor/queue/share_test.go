package queue

import (
	"testing"

	"verdict/internal/decision"
)

// take makes n calls by the share, both lanes having work, and returns how many
// were backfill's.
func (s *Share) take(n int, mayBackfill bool) (backfill int) {
	for range n {
		lane, _ := s.Next(true, mayBackfill)
		if lane == decision.Backfill {
			backfill++
		}
		s.Charge(lane, true)
	}
	return backfill
}

func TestShareKeepsItsPartForBackfill(t *testing.T) {
	for _, part := range []float64{0, 0.1, 0.5, 0.9} {
		s := NewShare(part)
		if got := s.take(1000, true); got < int(part*1000)-10 || got > int(part*1000)+10 {
			t.Errorf("backfill got %d of 1000 calls, want %g of them", got, part)
		}
	}
}

func TestShareOwesLittleAfterBackfillCouldNotGo(t *testing.T) {
	s := NewShare(0.1)
	if got := s.take(100_000, false); got != 0 {
		t.Fatalf("backfill got %d calls though it could not go", got)
	}
	if got := s.take(20, true); got > maxOwed+2 {
		t.Errorf("backfill got %d of the next 20 calls, want its part and little more", got)
	}
}

func TestShareForgetsWhatBackfillTookAlone(t *testing.T) {
	s := NewShare(0.5)
	for range 1000 {
		lane, _ := s.Next(false, true)
		s.Charge(lane, true)
	}
	if got := s.take(100, true); got < 40 {
		t.Errorf("backfill got %d of the next 100 calls, want about half", got)
	}
}
