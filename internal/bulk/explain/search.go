package explain

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"verdict/internal/broker"
	"verdict/internal/bulk/topicread"
	"verdict/internal/decision"
)

// search is one call of Explain. It belongs to one goroutine.
type search struct {
	options Options
	id      string                                     // the subject
	task    decision.Task                              // zero: the subject is not PROFILE/TASK
	alone   string                                     // the ID of a task or a profile, in lower case; empty: the subject is none
	origins map[decision.Position]decision.Fingerprint // records of the decisions that match
	ended   map[decision.Position]bool                 // records with a result or dead letter
	settled []decision.Ended                           // of results whose record is not known, in the order of unknown
	unknown []decision.Position                        // the records of these
	found   Explanation
	// moved is up to where the decisions of an event's batch were approved and moved, by
	// partition of Held. Nil without a ledger.
	moved func(ev *Event) map[int]int64
}

// scan reads a topic.
func (s *search) scan(ctx context.Context, topic string, add func(*decision.Record)) error {
	o := broker.ScanOptions{Topic: topic, Since: s.options.Since, Retrying: s.options.Retrying}
	return s.options.Connection.Scan(ctx, o, func(rec decision.Record) error {
		s.found.Read++
		add(&rec)
		return nil
	})
}

// scanHeld reads the topic of what waits for approval, if there is one.
func (s *search) scanHeld(ctx context.Context) error {
	if s.options.Held == "" {
		return nil
	}
	// Before Scan, which waits for an answer without an end of its own.
	_, err := topicread.Bounds(ctx, s.options.Connection, s.options.Held)
	if err == nil {
		return s.scan(ctx, s.options.Held, s.addDecision)
	}
	if ctx.Err() != nil {
		return err
	}
	if !errors.Is(err, broker.ErrNoTopic) {
		s.found.Ledger = err
	}
	return nil
}

// startAt makes the search begin at the time of the record at a place, less the skew of
// clocks, if that is earlier than Since.
func (s *search) startAt(ctx context.Context, at decision.Position) error {
	s.origins[at] = 0 // until it is read
	bounds, err := topicread.Bounds(ctx, s.options.Connection, at.Topic)
	if err != nil {
		return err
	}
	if _, ok := bounds[at.Partition]; !ok {
		return nil // an ID that only looks like a place
	}
	o := broker.ScanOptions{
		Topic: at.Topic, Partitions: []int{at.Partition}, Retrying: s.options.Retrying,
		Offsets: map[int]int64{at.Partition: at.Offset}, Ends: map[int]int64{at.Partition: min(at.Offset+1, bounds[at.Partition].End)},
	}
	return s.options.Connection.Scan(ctx, o, func(rec decision.Record) error {
		s.found.Read++
		switch early := rec.Time.Add(-topicread.ClockSkew); {
		case rec.Time.IsZero(): // then nothing says how far back its end may be
			s.options.Since = time.Time{}
		case early.Before(s.options.Since):
			s.options.Since = early
		}
		return nil
	})
}

// addBehind finds what a topic holds that no reader gets yet.
func (s *search) addBehind(ctx context.Context, topic string) error {
	ctx, cancel := context.WithTimeout(ctx, topicread.AnswerTimeout)
	defer cancel()
	ends, err := s.options.Connection.LogEnds(ctx, topic) // first: what is written after it does not count
	if err != nil {
		return err
	}
	bounds, err := s.options.Connection.Bounds(ctx, topic)
	if err != nil {
		return err
	}
	for _, partition := range slices.Sorted(maps.Keys(ends)) {
		if stable := bounds[partition].End; stable < ends[partition] {
			from := decision.Position{Topic: topic, Partition: partition, Offset: stable}
			s.found.Behind = append(s.found.Behind, Behind{From: from, Records: ends[partition] - stable})
		}
	}
	return nil
}

func (s *search) addEvent(ev Event) {
	if len(s.found.Events) == maxEvents {
		s.found.More = true
		return
	}
	s.found.Events = append(s.found.Events, ev)
}

// matches reports whether a decision is the subject, or on the task or the profile that is
// the subject.
func (s *search) matches(id string, task decision.Task) bool {
	if s.alone != "" && (task.TaskID == s.alone || task.ProfileID == s.alone) {
		return true
	}
	return s.task != (decision.Task{}) && task == s.task || id == s.id
}

// addEnd reports whether a result or dead letter matches, and notes which record it
// ended: not the one that is at its place since the topic was made again. An ID that is a
// place says no more than the place.
func (s *search) addEnd(e decision.Ended, task decision.Task, at decision.Position) bool {
	fingerprint, known := s.origins[at]
	if known && fingerprint.Fits(e) {
		s.ended[at] = true
		return true
	}
	return s.matches(e.ID, task) && !(known && e.ID == at.String() && e.ID == s.id)
}
