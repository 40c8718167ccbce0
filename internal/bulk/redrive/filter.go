package redrive

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"verdict/internal/decision"
)

// Filter chooses the dead letters that meet all of its conditions.
type Filter struct {
	// Reasons are the reasons to choose. Nil: any.
	Reasons []decision.Reason
	// BatchID is the decision's batch, by its headers or otherwise by its value. Empty:
	// any.
	BatchID string
	// Since and Until bound when the decision was dead-lettered; Since is inclusive, Until
	// is not. Zero: no bound.
	Since, Until time.Time
	// Profile is the ID of the decision's profile, in upper or lower case. Empty: any.
	Profile string
	// Match is text in the error or the value, in upper or lower case. Empty: any.
	Match string
}

// Any reports whether the filter chooses every dead letter.
func (f *Filter) Any() bool {
	return len(f.Reasons) == 0 && f.BatchID == "" && f.Since.IsZero() && f.Until.IsZero() && f.Profile == "" && f.Match == ""
}

// details writes the conditions into an act.
func (f *Filter) details(into map[string]string) {
	set := func(name, text string) {
		if text != "" {
			into[name] = decision.OneLine(text, decision.MaxTextSize)
		}
	}
	when := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return decision.Time{Time: t}.String()
	}
	reasons := make([]string, len(f.Reasons))
	for i, reason := range f.Reasons {
		reasons[i] = string(reason)
	}
	set("reason", strings.Join(reasons, ","))
	set("batch_id", f.BatchID)
	set("since", when(f.Since))
	set("until", when(f.Until))
	set("profile", f.Profile)
	set("match", f.Match)
}

// matches reports whether the filter chooses a dead letter. at is its record's
// timestamp.
func (f *Filter) matches(d *decision.DeadRecord, at time.Time, decode func(*decision.Record) (decision.Decision, error)) bool {
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
	read, _ := decode(&d.Original) // even an invalid decision may match
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
