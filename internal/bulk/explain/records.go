package explain

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"verdict/internal/bulk/topicread"
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
		BatchID: cmp.Or(place.ID, d.BatchID), BatchLine: place.Line, Run: decision.RunOf(rec.Headers),
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
	if _, known := s.origins[r.Origin]; !known && len(s.unknown) < maxEvents {
		s.settled, s.unknown = append(s.settled, r.Ended()), append(s.unknown, r.Origin)
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
		BatchID: cmp.Or(place.ID, d.BatchID), BatchLine: place.Line, Run: decision.RunOf(l.Original.Headers),
	})
}

// addSettled adds the records of results that match, where the records themselves do not: a
// decision that names its task by alias or type does not have the task's ID.
func (s *search) addSettled(ctx context.Context) error {
	ends := make(map[decision.Position]decision.Ended)
	offsets := make(map[decision.Position][]int64) // by partition: of the record at its start
	for i, at := range s.unknown {
		if slices.Contains(s.options.Decisions, at.Topic) {
			ends[at] = s.settled[i]
			partition := decision.Position{Topic: at.Topic, Partition: at.Partition}
			offsets[partition] = append(offsets[partition], at.Offset)
		}
	}
	for at, wanted := range offsets {
		bounds, err := topicread.Bounds(ctx, s.options.Connection, at.Topic)
		if err != nil {
			return err
		}
		bound := bounds[at.Partition] // zero: the topic was made again with fewer partitions
		slices.Sort(wanted)
		wanted = slices.DeleteFunc(slices.Compact(wanted), func(offset int64) bool { return offset < bound.First || offset >= bound.End })
		records, err := s.options.Connection.ReadAt(ctx, at.Topic, at.Partition, wanted)
		if err != nil {
			return err
		}
		for _, rec := range records {
			s.found.Read++
			d, err := s.options.Decode(&rec)
			if decision.FingerprintOf(&rec, &d, err).Fits(ends[rec.Origin()]) {
				s.origins[rec.Origin()] = 0 // so that it is added
				s.ended[rec.Origin()] = true
				s.addDecision(&rec)
			}
		}
	}
	return nil
}

// orTime returns t, or other if t is zero.
func orTime(t decision.Time, other time.Time) decision.Time {
	if t.IsZero() {
		return decision.Time{Time: other}
	}
	return t
}
