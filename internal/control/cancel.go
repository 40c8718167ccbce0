package control

import (
	"context"
	"fmt"
	"maps"

	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

// SendingError reports that a batch which is to be cancelled is still being sent.
type SendingError struct {
	ID string
	By ledger.Entry // its latest entry
}

// Error says what to do.
func (e *SendingError) Error() string {
	b := e.By.Batch
	return fmt.Sprintf("batch %s is still being sent: %d of %d decisions, by %s on %s, the last at %s; "+
		"a cancel covers what is in Kafka now, and not what is sent later. Stop the submit first, or cancel what is there with --yes",
		decision.OneLine(e.ID, decision.MaxBatchIDLength), b.Sent, b.Size, decision.OneLine(e.By.Actor, 100), decision.OneLine(e.By.Host, 100), decision.Time{Time: e.By.At})
}

// Cancel cancels what is not begun of the decisions of a batch that are in Kafka now. What
// is sent later is not cancelled: not the rest of a batch that is still being sent
// (a *SendingError, unless sending is set), and not the same batch if it is sent again.
// inputs are the topics that the service reads.
func Cancel(ctx context.Context, o store.Options, id string, inputs []string, sending bool) (Made, error) {
	key, waits := ledger.HoldBatch(id), false
	made, err := change(ctx, o, key, func(s *ledger.State, before ledger.Entry) (ledger.Entry, map[string]string, error) {
		if err := checkBatch(s, key); err != nil {
			return before, nil, err
		}
		e, _ := s.Batch(id)
		waits = e.Batch.Approval != nil && e.Batch.Approval.By == nil
		if r := e.Batch.Result; r != nil {
			return before, nil, fmt.Errorf("batch %s is done since %s: its %d decisions are settled, %d of them dead-lettered, so there is nothing to cancel",
				decision.OneLine(id, decision.MaxBatchIDLength), decision.Time{Time: r.At}, r.Settled, r.DeadLettered)
		}
		if e.Batch.Ended.IsZero() && !sending {
			return before, nil, &SendingError{ID: id, By: e}
		}
		h := holdOf(before)
		cancelled := make(map[string]map[int]int64)
		for topic, ends := range h.Cancelled {
			cancelled[topic] = maps.Clone(ends)
		}
		for _, topic := range topicsOf(e.Batch, inputs) {
			ends, err := o.Connection.LogEnds(ctx, topic)
			if err != nil {
				return before, nil, err
			}
			if cancelled[topic] == nil {
				cancelled[topic] = make(map[int]int64)
			}
			for partition, end := range ends {
				cancelled[topic][partition] = max(cancelled[topic][partition], end)
			}
		}
		h.Cancelled = cancelled
		details := map[string]string{"before": "not cancelled", "after": "cancelled", "rows": fmt.Sprint(e.Batch.Size), "sent": fmt.Sprint(e.Batch.Sent)}
		if holdOf(before).Cancelled != nil {
			details["before"] = "cancelled before"
		}
		return ledger.Entry{Hold: &h}, details, nil
	})
	made.Waits = waits
	return made, err
}

// topicsOf returns the topics that may hold a batch's decisions.
func topicsOf(b *ledger.Batch, inputs []string) []string {
	if b.Redrive { // its Topic is that of the dead letters; they went back to where they came from
		return inputs
	}
	topics := []string{b.Topic}
	if b.Approval != nil && b.Approval.To != "" {
		topics = append(topics, b.Approval.To)
	}
	return topics
}
