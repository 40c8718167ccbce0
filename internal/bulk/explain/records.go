package explain

import (
	"cmp"
	"strings"
	"time"

	"verdict/internal/decision"
)

func (e *explainer) decision(rec *decision.Record) {
	d, err := decision.Decode(rec) // whatever its faults
	first, copied := decision.RedrivenOrigin(rec)
	_, again := e.origins[first]
	if !e.about(d.ID, d.Task, rec.Origin()) && !(copied && again) {
		return
	}
	e.origins[rec.Origin()] = struct{}{}
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
	e.add(ev)
}

func (e *explainer) result(rec *decision.Record) {
	r, err := decision.ParseResult(rec.Value)
	if err != nil || !e.about(r.DecisionID, decision.NewTask(r.ProfileID, r.TaskID), r.Origin) {
		return
	}
	e.ended[r.Origin] = true
	e.add(Event{
		Time: or(r.CompletedAt, rec.Time), Kind: EventSettled, Place: rec.Origin(), Origin: r.Origin, DecisionID: r.DecisionID,
		ProfileID: r.ProfileID, TaskID: r.TaskID, State: r.State, Outcome: r.Outcome, Attempts: r.Attempts, HTTPStatus: r.HTTPStatus,
		Source: r.Source, Why: r.Reason, BatchID: r.BatchID,
	})
}

func (e *explainer) deadLetter(rec *decision.Record) {
	l, err := decision.ParseDeadLetter(rec)
	if err != nil {
		return
	}
	d, _ := decision.Decode(&l.Original)
	id := cmp.Or(l.DecisionID, d.ID)
	if !e.about(id, d.Task, l.Original.Origin()) {
		return
	}
	e.ended[l.Original.Origin()] = true
	place, _ := decision.BatchPlaceOf(l.Original.Headers)
	e.add(Event{
		Time: or(l.FailedAt, rec.Time), Kind: EventDeadLettered, Place: rec.Origin(), Origin: l.Original.Origin(), DecisionID: id,
		ProfileID: d.Task.ProfileID, TaskID: d.Task.TaskID, State: d.State, Reason: l.Reason, Error: l.Error, Attempts: l.Attempts,
		HTTPStatus: l.HTTPStatus, Redrives: l.Redrives, Source: d.Source, Why: d.Reason,
		BatchID: cmp.Or(place.ID, d.BatchID), BatchLine: place.Line,
	})
}

func or(t decision.Time, other time.Time) decision.Time {
	if t.IsZero() {
		return decision.Time{Time: other}
	}
	return t
}
