package redrive

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"verdict/internal/decision"
)

// Filter chooses dead letters: those that meet every one of its conditions.
type Filter struct {
	// Reasons are the reasons that count; nil means any.
	Reasons []decision.Reason
	// BatchID is the batch that the decision is of, by its headers or else its
	// value; empty means any.
	BatchID string
	// Since and Until bound when it was dead-lettered, the first inclusive and the
	// second not; zero means no bound.
	Since, Until time.Time
	// Profile is the ID of the decision's profile, in any case; empty means any.
	Profile string
	// Match is text that the error or the value contains, in any case; empty means
	// any.
	Match string
}

// Any says whether the filter chooses all.
func (f *Filter) Any() bool {
	return len(f.Reasons) == 0 && f.BatchID == "" && f.Since.IsZero() && f.Until.IsZero() && f.Profile == "" && f.Match == ""
}

// matches says whether a dead letter is chosen; at is its record's own time.
func (f *Filter) matches(d *decision.DeadRecord, at time.Time) bool {
	if !d.FailedAt.IsZero() {
		at = d.FailedAt.Time
	}
	switch {
	case len(f.Reasons) > 0 && !slices.Contains(f.Reasons, d.Reason),
		!f.Since.IsZero() && at.Before(f.Since),
		!f.Until.IsZero() && !at.Before(f.Until),
		f.Match != "" && !containsFold([]byte(d.Error), f.Match) && !containsFold(d.Original.Value, f.Match):
		return false
	}
	if f.BatchID == "" && f.Profile == "" {
		return true
	}
	read, _ := decision.Decode(&d.Original) // whatever its faults
	batch := read.BatchID
	if place, ok := decision.BatchPlaceOf(d.Original.Headers); ok {
		batch = place.ID
	}
	return (f.BatchID == "" || batch == f.BatchID) &&
		(f.Profile == "" || strings.EqualFold(read.Task.ProfileID, f.Profile) || strings.EqualFold(string(d.Original.Key), f.Profile))
}

func containsFold(b []byte, text string) bool {
	return bytes.Contains(bytes.ToLower(b), bytes.ToLower([]byte(text)))
}
