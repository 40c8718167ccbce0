package explain

import (
	"cmp"
	"strings"
	"time"

	"verdict/internal/decision"
)

// addDecision adds a record of a topic of decisions, if it matches.
func (s *search) addDecision(rec *decision.Record) {
	d, err := s.options.Decode(rec) // even an invalid decision may match
	first, redriven := decision.RedrivenOrigin(rec)
	_, known := s.origins[first]
	_, named := s.origins[rec.Origin()]
	if !s.matches(d.ID, d.Task) && !named && !(redriven && known) {
		return
	}
	s.origins[rec.Origin()] = decision.FingerprintOf(rec, &d, err)
	place, _ := decision.BatchPlaceOf(rec.Headers)
	ev := Event{
		Time: decision.Time{Time: rec.Time}, Kind: EventSubmitted, Place: rec.Origin(), Origin: rec.Origin(), DecisionID: d.ID,
		ProfileID: d.Task.ProfileID, TaskID: d.Task.TaskID, State: d.State, Redrives: decision.Redrives(rec), Source: d.Source, Why: d.Reason,
		BatchID: cmp.Or(place.ID, d.BatchID), BatchLine: place.Line,
	}
	if from, ok := decision.RedrivenFrom(rec); ok {
		ev.Kind, ev.Note = EventRedriven, "from the dead letter "+from.String()
	}
	if err != nil {
		ev.Note = strings.TrimPrefix(ev.Note+"; invalid: "+decision.OneLine(err.Error(), 300), "; ")
	}
	s.addEvent(ev)
}

// addResult adds a record of the topic of results, if it matches.
func (s *search) addResult(rec *decision.Record) {
	r, err := decision.ParseResult(rec.Value)
	if err != nil || !s.addEnd(r.Ended(), decision.NewTask(r.ProfileID, r.TaskID), r.Origin) {
		return
	}
	s.addEvent(Event{
		Time: orTime(r.CompletedAt, rec.Time), Kind: EventSettled, Place: rec.Origin(), Origin: r.Origin, DecisionID: r.DecisionID,
		ProfileID: r.ProfileID, TaskID: r.TaskID, State: r.State, Outcome: r.Outcome, Attempts: r.Attempts, HTTPStatus: r.HTTPStatus,
		Source: r.Source, Why: r.Reason, BatchID: r.BatchID,
	})
}

// addDeadLetter adds a record of the topic of dead letters, if it matches.
func (s *search) addDeadLetter(rec *decision.Record) {
	l, err := decision.ParseDeadLetter(rec)
	if err != nil {
		return
	}
	d, err := s.options.Decode(&l.Original)
	e := l.Ended(&d, err)
	if !s.addEnd(e, d.Task, l.Original.Origin()) {
		return
	}
	place, _ := decision.BatchPlaceOf(l.Original.Headers)
	s.addEvent(Event{
		Time: orTime(l.FailedAt, rec.Time), Kind: EventDeadLettered, Place: rec.Origin(), Origin: l.Original.Origin(), DecisionID: e.ID,
		ProfileID: d.Task.ProfileID, TaskID: d.Task.TaskID, State: d.State, Reason: l.Reason, Error: l.Error, Attempts: l.Attempts,
		HTTPStatus: l.HTTPStatus, Redrives: l.Redrives, Source: d.Source, Why: d.Reason,
		BatchID: cmp.Or(place.ID, d.BatchID), BatchLine: place.Line,
	})
}

// orTime returns t, or other if t is zero.
func orTime(t decision.Time, other time.Time) decision.Time {
	if t.IsZero() {
		return decision.Time{Time: other}
	}
	return t
}
