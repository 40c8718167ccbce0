package submit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// refuse returns an error if the batch must not be sent: because of its entry in the
// journal, of other entries, or of its status in Kafka (nil: none).
func (s *submission) refuse(cluster string, inKafka *status) error {
	if s.entry != nil {
		if err := s.refuseByEntry(); err != nil {
			return err
		}
	} else if err := s.refuseKnownContent(cluster); err != nil {
		return err
	}
	if inKafka != nil {
		if err := s.refuseByStatus(inKafka); err != nil {
			return err
		}
	}
	return s.refuseWhileUnfinished(cluster)
}

// refuseByEntry refuses a batch that its journal entry says is sent, or is another.
func (s *submission) refuseByEntry() error {
	b, e, journal := s.batch, s.entry, "journal "+s.options.Journal
	flags := cmp.Or(b.Flags(), noFlags)
	switch {
	case e.Content != b.Content:
		return fmt.Errorf("batch %s was started with other content, according to %s; give this content another --batch-id", b.ID, journal)
	case e.ended():
		return &AlreadySentError{BatchID: b.ID, At: e.Ended, Source: journal, Size: e.Size}
	case e.Flags != flags || e.Size != b.Size():
		return fmt.Errorf("batch %s was started with %s and %d decisions to send, and now has %s and %d; give the same flags to continue it",
			b.ID, describeFlags(e.Flags), e.Size, describeFlags(flags), b.Size())
	}
	return nil
}

// describeFlags returns the flags of a journal entry for a message.
func describeFlags(flags string) string {
	if flags == noFlags {
		return "no flags"
	}
	return flags
}

// refuseKnownContent refuses a batch without an ID of its own whose content was sent
// under an ID that was given. Without an ID nothing shows that the same content is meant
// to be sent again.
func (s *submission) refuseKnownContent(cluster string) error {
	if !s.batch.IDFromContent() {
		return nil
	}
	other := s.journal.findContent(cluster, s.options.Topic, s.batch.Content)
	if other == nil {
		return nil
	}
	if other.ended() {
		return &AlreadySentError{BatchID: other.BatchID, At: other.Ended, Source: "journal " + s.options.Journal, Size: other.Size}
	}
	return fmt.Errorf("the same content was started as batch %s, according to journal %s; continue it with --batch-id %s, or send all of it again with another ID",
		other.BatchID, s.options.Journal, other.BatchID)
}

// refuseByStatus refuses a batch that its status in Kafka says is sent, is another, or
// is being sent by another machine.
func (s *submission) refuseByStatus(in *status) error {
	b := s.batch
	switch {
	case in.Content != b.Content:
		return fmt.Errorf("batch %s was started with other content, according to Kafka (group %s); give this content another --batch-id", b.ID, s.group)
	case in.Ended:
		return &AlreadySentError{BatchID: b.ID, At: in.At, Source: "Kafka (group " + s.group + ")", Size: in.Size}
	case in.Size != b.Size():
		return fmt.Errorf("batch %s was started on %s with %d decisions to send, and now has %d; give the same flags to continue it", b.ID, in.Host, in.Size, b.Size())
	case (s.entry == nil || in.Host != s.options.Host) && time.Since(in.At).Abs() < statusTimeout:
		return fmt.Errorf("batch %s is being sent by %s, whose status in Kafka is %v old; if that submit has stopped, try again when the status is %v old",
			b.ID, in.Host, time.Since(in.At).Round(time.Second), statusTimeout)
	}
	return nil
}

// refuseWhileUnfinished refuses a batch while the journal has an unfinished one with the
// same content or one of the same files.
func (s *submission) refuseWhileUnfinished(cluster string) error {
	for _, other := range s.journal.entries {
		if other == s.entry || other.ended() || other.Cluster != cluster || other.Topic != s.options.Topic {
			continue
		}
		sameFile := slices.ContainsFunc(other.Files, func(f string) bool { return slices.Contains(s.batch.Paths(), f) })
		if other.Content == s.batch.Content || sameFile {
			return fmt.Errorf("batch %s of %s was started and not finished, according to journal %s: %d of its %d decisions are acknowledged; finish it first, with its original content and --batch-id %s, or give this batch a --journal of its own",
				other.BatchID, strings.Join(other.Files, ", "), s.options.Journal, other.Acknowledged, other.Size, other.BatchID)
		}
	}
	return nil
}
