package explain

import (
	"context"

	"verdict/internal/broker"
	"verdict/internal/bulk/topicread"
	"verdict/internal/decision"
)

// search is one call of Explain. It belongs to one goroutine.
type search struct {
	options Options
	id      string                         // the subject
	task    decision.Task                  // zero: the subject is not a task
	origins map[decision.Position]struct{} // records of the decisions that match
	ended   map[decision.Position]bool     // records with a result or dead letter
	found   Explanation
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

// startAt makes the search begin at the time of the record at a place, less the skew of
// clocks, if that is earlier than Since.
func (s *search) startAt(ctx context.Context, at decision.Position) error {
	s.origins[at] = struct{}{}
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
		if early := rec.Time.Add(-topicread.ClockSkew); s.options.Since.IsZero() || early.Before(s.options.Since) {
			s.options.Since = early
		}
		return nil
	})
}

func (s *search) addEvent(ev Event) {
	if len(s.found.Events) == maxEvents {
		s.found.More = true
		return
	}
	s.found.Events = append(s.found.Events, ev)
}

// matches reports whether a decision is the subject, or on the task that is the subject.
func (s *search) matches(id string, task decision.Task, at decision.Position) bool {
	if s.task != (decision.Task{}) && task == s.task {
		return true
	}
	_, known := s.origins[at]
	return known || id == s.id
}
