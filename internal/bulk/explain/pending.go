package explain

import (
	"context"
	"fmt"
	"time"

	"verdict/internal/broker"
	"verdict/internal/bulk/topicread"
	"verdict/internal/decision"
)

// pending adds an event for each decision of which no end was found, with how far
// the group is from it.
func (e *explainer) pending(ctx context.Context) error {
	committed := make(map[string]map[int]broker.GroupOffset)
	for _, ev := range e.found.Events {
		if ev.Kind != EventSubmitted && ev.Kind != EventRedriven || e.ended[ev.Origin] {
			continue
		}
		at := ev.Origin
		if committed[at.Topic] == nil && e.o.Group != "" {
			ctx, cancel := context.WithTimeout(ctx, topicread.AnswerTimeout)
			offsets, err := e.o.Connection.GroupOffsets(ctx, e.o.Group, at.Topic)
			cancel()
			if err != nil {
				return err
			}
			committed[at.Topic] = offsets
		}
		ev.Kind, ev.Time = EventPending, decision.Time{Time: time.Now()}
		ev.Note = e.distance(at, committed[at.Topic])
		e.add(ev)
	}
	return nil
}

// distance says how far the group is from a decision.
func (e *explainer) distance(at decision.Origin, committed map[int]broker.GroupOffset) string {
	group, ok := committed[at.Partition]
	switch {
	case e.o.Group == "":
		return "neither a result nor a dead letter was found"
	case !ok:
		return fmt.Sprintf("group %s has committed nothing in %s/%d: does verdict run?", e.o.Group, at.Topic, at.Partition)
	case group.Offset > at.Offset:
		return fmt.Sprintf("group %s has committed it, and neither a result nor a dead letter was found: deleted by retention?", e.o.Group)
	default:
		return fmt.Sprintf("group %s has committed %s/%d up to offset %d, %d before it", e.o.Group, at.Topic, at.Partition, group.Offset, at.Offset-group.Offset)
	}
}
