package explain

import (
	"context"
	"fmt"
	"time"

	"verdict/consumer/offsets"
	"verdict/internal/broker"
	"verdict/internal/bulk/topicread"
	"verdict/internal/decision"
)

// addPending adds an event for each record without a result or dead letter. The event
// says how far the group is from the record.
func (s *search) addPending(ctx context.Context) error {
	committed := make(map[string]map[int]broker.GroupOffset)
	for _, ev := range s.found.Events {
		if ev.Kind != EventSubmitted && ev.Kind != EventRedriven || s.ended[ev.Origin] {
			continue
		}
		at := ev.Origin
		if at.Topic == s.options.Held {
			continue // no instance reads it
		}
		if committed[at.Topic] == nil && s.options.Group != "" {
			ctx, cancel := context.WithTimeout(ctx, topicread.AnswerTimeout)
			commits, err := s.options.Connection.GroupOffsets(ctx, s.options.Group, at.Topic)
			cancel()
			if err != nil {
				return err
			}
			committed[at.Topic] = commits
		}
		ev.Kind, ev.Time = EventPending, decision.Time{Time: time.Now()}
		var p decision.Progress
		ev.Note, p = s.progress(at, committed[at.Topic])
		ev.Attempts, ev.MaybeApplied = p.Attempts, p.MaybeApplied
		if p.Attempts > 0 && s.options.MaxBackoff > 0 {
			ev.RetryWithin = s.options.MaxBackoff.String()
		}
		s.addEvent(ev)
	}
	return nil
}

// progress describes how far the group is from a record, and returns what its latest commit
// tells of attempts at the decision.
func (s *search) progress(at decision.Position, committed map[int]broker.GroupOffset) (note string, p decision.Progress) {
	group, ok := committed[at.Partition]
	switch {
	case s.options.Group == "":
		return "no result and no dead letter was found", p
	case !ok:
		return fmt.Sprintf("group %s has committed nothing in %s/%d: is the service running?", s.options.Group, at.Topic, at.Partition), p
	}
	// Metadata of another program says nothing, and the offset still counts.
	settled, open, _ := offsets.Restore(group.Offset, group.Metadata, group.Offset)
	if at.Offset < group.Offset || settled.Settled(at.Offset) {
		return fmt.Sprintf("group %s has committed it, but no result and no dead letter was found: did retention delete it?", s.options.Group), p
	}
	note = fmt.Sprintf("group %s has committed %s/%d up to offset %d, %d unsettled before it", s.options.Group, at.Topic, at.Partition, group.Offset, settled.Unsettled(at.Offset))
	p = open[at.Offset]
	if p.Attempts > 0 {
		note += "; it failed and is tried again"
	}
	if p.MaybeApplied {
		note += ", after a look at the task: the latest attempt may have completed it"
	}
	if p.Attempts > 0 && s.options.MaxBackoff > 0 {
		note += fmt.Sprintf("; the back-off is at most %v (processor.backoff_max), unless the API asks for more or a pause is on", s.options.MaxBackoff)
	}
	return note, p
}

// addWaiting adds an event for each record that waits for approval.
func (s *search) addWaiting() {
	for _, ev := range s.found.Events {
		if ev.Kind != EventSubmitted || ev.Origin.Topic != s.options.Held {
			continue
		}
		if s.moved != nil && ev.Origin.Offset < s.moved(&ev)[ev.Origin.Partition] {
			continue
		}
		ev.Kind, ev.Time = EventWaiting, decision.Time{Time: time.Now()}
		ev.Note = "for somebody to approve its batch (verdict approve)"
		s.addEvent(ev)
	}
}
