package explain

import (
	"context"

	"verdict/internal/broker"
	"verdict/internal/bulk/topicread"
	"verdict/internal/decision"
)

// explainer is one Explain. It belongs to one goroutine.
type explainer struct {
	o       Options
	id      string
	task    decision.Task // zero: not one of a task
	origins map[decision.Origin]struct{}
	ended   map[decision.Origin]bool
	found   Explanation
}

func (e *explainer) scan(ctx context.Context, topic string, each func(*decision.Record)) error {
	return e.o.Connection.Scan(ctx, broker.ScanOptions{Topic: topic, Since: e.o.Since, Retrying: e.o.Retrying}, func(rec decision.Record) error {
		e.found.Read++
		each(&rec)
		return nil
	})
}

// lookUp reads the record at a place. The search then begins at its time, less
// what clocks may differ by.
func (e *explainer) lookUp(ctx context.Context, at decision.Origin) error {
	e.origins[at] = struct{}{}
	bounds, err := topicread.Bounds(ctx, e.o.Connection, at.Topic)
	if err != nil {
		return err
	}
	if _, ok := bounds[at.Partition]; !ok {
		return nil // it is an ID that only looks like a place
	}
	return e.o.Connection.Scan(ctx, broker.ScanOptions{
		Topic: at.Topic, Partitions: []int{at.Partition}, Retrying: e.o.Retrying,
		Offsets: map[int]int64{at.Partition: at.Offset}, Ends: map[int]int64{at.Partition: min(at.Offset+1, bounds[at.Partition].End)},
	}, func(rec decision.Record) error {
		e.found.Read++
		if early := rec.Time.Add(-topicread.ClockSkew); e.o.Since.IsZero() || early.Before(e.o.Since) {
			e.o.Since = early
		}
		return nil
	})
}

func (e *explainer) add(ev Event) {
	if len(e.found.Events) == maxEvents {
		e.found.More = true
		return
	}
	e.found.Events = append(e.found.Events, ev)
}

// about says whether a decision is the one, or on the task, that is asked for.
func (e *explainer) about(id string, task decision.Task, at decision.Origin) bool {
	if e.task != (decision.Task{}) && task == e.task {
		return true
	}
	_, known := e.origins[at]
	return known || id == e.id
}
