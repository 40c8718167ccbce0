package submit

import (
	"fmt"
	"strings"

	"verdict/internal/decision"
	"verdict/internal/ledger"
)

// refuse returns an error if the ledger says that the batch must not be sent.
func (s *submission) refuse(state *ledger.State) error {
	if hold := state.Hold(ledger.HoldBatch(s.batch.ID)); hold.Cancelled != nil {
		return fmt.Errorf("batch %s was cancelled; give what is to be sent another --batch-id", s.batch.ID)
	}
	if e, known := state.Batch(s.batch.ID); known {
		return s.refuseKnown(e.Batch)
	}
	for key, e := range state.Of(ledger.KindBatch) {
		if state.Hold(ledger.HoldBatch(key.Name)).Cancelled != nil {
			continue
		}
		if err := s.refuseOther(key.Name, e.Batch); err != nil {
			return err
		}
	}
	return nil
}

// refuseKnown refuses a batch that is sent, or is another one.
func (s *submission) refuseKnown(known *ledger.Batch) error {
	b := s.batch
	switch {
	case known.Content != b.Content:
		return fmt.Errorf("batch %s was started with other content%s; give this content another --batch-id", b.ID, by(known))
	case !known.Ended.IsZero():
		return &AlreadySentError{BatchID: b.ID, At: known.Ended, By: known.Submitter, Size: known.Size}
	case known.Approval != nil && s.options.For != known.Approval.To:
		return fmt.Errorf("batch %s was started for topic %s, to be approved; give the same --lane and bulk.approval to continue it", b.ID, known.Approval.To)
	case known.Topic != s.options.Topic:
		return fmt.Errorf("batch %s was started in topic %s, not in %s; give the same --lane to continue it", b.ID, known.Topic, s.options.Topic)
	case known.Size != b.Size() || known.Choices != b.Flags():
		return fmt.Errorf("batch %s was started with %s and %d decisions to send, and now has %s and %d; give the same flags to continue it",
			b.ID, describeFlags(known.Choices), known.Size, describeFlags(b.Flags()), b.Size())
	}
	return s.refuseOtherTopic(s.topicID, known)
}

// refuseOtherTopic refuses to continue a batch if its topic's ID has changed.
func (s *submission) refuseOtherTopic(now string, known *ledger.Batch) error {
	if now == known.TopicID || now == "" || known.TopicID == "" {
		return nil
	}
	return fmt.Errorf("topic %s was deleted and made again after %d of the %d decisions of batch %s had been sent; see what became of them (verdict follow %s), and send the file under another --batch-id",
		known.Topic, known.Sent, known.Size, s.batch.ID, s.batch.ID)
}

// refuseOther refuses a new batch because of another one with the same content: one that
// was not finished or, if the batch has no ID of its own, any. Without an ID nothing
// shows that the content is meant to be sent again.
func (s *submission) refuseOther(id string, other *ledger.Batch) error {
	switch {
	case other.Redrive || other.Content != s.batch.Content || other.Topic != s.options.Topic:
		return nil
	case !other.Ended.IsZero():
		if s.batch.IDFromContent() {
			return &AlreadySentError{BatchID: id, At: other.Ended, By: other.Submitter, Size: other.Size}
		}
		return nil
	case other.TopicID != s.topicID && other.TopicID != "": // it can't be finished
		return nil
	}
	files := ""
	if len(other.Files) > 0 {
		files = " (" + decision.OneLine(strings.Join(other.Files, ", "), 300) + ")"
	}
	return fmt.Errorf("the same content was started as batch %s%s%s and not finished: %d of its %d decisions are sent; continue it with --batch-id %s, or cancel it (verdict cancel %s --yes)",
		id, files, by(other), other.Sent, other.Size, id, id)
}

// by names who began a batch.
func by(b *ledger.Batch) string {
	return fmt.Sprintf(" by %s on %s", decision.OneLine(b.Submitter.Actor, 100), decision.OneLine(b.Submitter.Host, 100))
}

// describeFlags returns flags for a message.
func describeFlags(flags string) string {
	if flags == "" {
		return "no flags"
	}
	return decision.OneLine(flags, 500)
}
