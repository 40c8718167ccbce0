package submit

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// refuse is why a batch is not to be sent.
func (s *submission) refuse(cluster string, known *journalBatch, mark *status) error {
	b := s.batch
	if known != nil {
		switch choices := b.Choices(); {
		case known.Content != b.Content:
			return fmt.Errorf("batch %s was begun with other content, says the journal %s; give this content another --batch-id", b.ID, s.o.Journal)
		case known.ended():
			return &AlreadySentError{BatchID: b.ID, At: known.Ended, By: "the journal " + s.o.Journal, Size: known.Size}
		case known.Choices != choices || known.Size != b.Size():
			return fmt.Errorf("batch %s was begun with %s and %d decisions to send, and is now given with %s and %d; give the same flags again to go on",
				b.ID, known.Choices, known.Size, choices, b.Size())
		}
	}
	// Where no ID was said, none was meant to tell this content from what was sent
	// before under an ID that was.
	if other := s.journal.alike(cluster, s.o.Topic, b.Content); known == nil && other != nil && b.IDFromContent() {
		if other.ended() {
			return &AlreadySentError{BatchID: other.BatchID, At: other.Ended, By: "the journal " + s.o.Journal, Size: other.Size}
		}
		return fmt.Errorf("the same content was begun as batch %s, says the journal %s; go on with --batch-id %s, or give another to send it all once more",
			other.BatchID, s.o.Journal, other.BatchID)
	}
	if mark != nil {
		switch {
		case mark.Content != b.Content:
			return fmt.Errorf("batch %s was begun with other content, says Kafka (group %s); give this content another --batch-id", b.ID, s.group)
		case mark.Ended:
			return &AlreadySentError{BatchID: b.ID, At: mark.At, By: "Kafka (group " + s.group + ")", Size: mark.Size}
		case mark.Size != b.Size():
			return fmt.Errorf("batch %s was begun on %s with %d decisions to send, and is now given with %d; give the same flags again to go on", b.ID, mark.Host, mark.Size, b.Size())
		case (known == nil || mark.Host != s.o.Host) && time.Since(mark.At).Abs() < signOfLife:
			return fmt.Errorf("batch %s is being sent by %s, by its mark in Kafka of %v ago; if that has stopped, try again when the mark is %v old", b.ID, mark.Host, time.Since(mark.At).Round(time.Second), signOfLife)
		}
	}
	for _, other := range s.journal.batches {
		if other == known || other.ended() || other.Cluster != cluster || other.Topic != s.o.Topic {
			continue
		}
		if other.Content == b.Content || slices.ContainsFunc(other.Files, func(f string) bool { return slices.Contains(b.Paths(), f) }) {
			return fmt.Errorf("batch %s of %s was begun and not finished, says the journal %s: %d of its %d decisions are acknowledged; finish it first, with the content that it had and --batch-id %s, or give this one a --journal of its own",
				other.BatchID, strings.Join(other.Files, ", "), s.o.Journal, other.Acknowledged, other.Size, other.BatchID)
		}
	}
	return nil
}
