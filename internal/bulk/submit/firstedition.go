package submit

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/broker"
	"verdict/internal/decision"
	"verdict/internal/ledger"
)

// Verdict without a ledger kept the status of a batch as the committed offsets of a
// consumer group without members, GROUP-batch-ID, which Kafka keeps for a week. The offsets
// are where the batch begins in each partition of its topic; their metadata has the rest. A
// batch that is found there is carried over to the ledger, once.

// oldStatus is the status of such a batch.
type oldStatus struct {
	offsets map[int]int64
	size    int64
	content string // Batch.Content
	ended   bool   // all of it was sent
	at      time.Time
	host    string // that wrote it
}

// oldStatusVersion begins the metadata.
const oldStatusVersion = "verdict-batch-1"

// oldStatusTimeout is the age from which a status means that its submit has stopped. It
// renewed the status every five seconds.
const oldStatusTimeout = time.Minute

// readOldStatus reads the status of the batch; nil if there is none. It returns an error if
// the batch must not be continued.
func (s *submission) readOldStatus(ctx context.Context) (*oldStatus, error) {
	group, topic := s.options.Ledger.Group+"-batch-"+s.batch.ID, s.options.Topic
	offsets, err := s.options.Ledger.Connection.GroupOffsets(ctx, group, topic)
	if errors.Is(err, kafka.GroupAuthorizationFailed) {
		return nil, nil // then no status was written either
	}
	var old *oldStatus
	for partition, o := range offsets {
		read, err := parseOldStatus(o.Metadata)
		if err != nil {
			return nil, fmt.Errorf("group %s: %w", group, err)
		}
		if old == nil {
			old = read
			old.offsets = make(map[int]int64)
		}
		old.offsets[partition] = o.Offset
	}
	if err != nil || old == nil {
		return nil, err
	}
	switch {
	case old.content != s.batch.Content:
		return nil, fmt.Errorf("batch %s was started with other content, according to Kafka (group %s); give this content another --batch-id", s.batch.ID, group)
	case !old.ended && old.size != s.batch.Size():
		return nil, fmt.Errorf("batch %s was started on %s with %d decisions to send, and now has %d; give the same flags to continue it", s.batch.ID, old.host, old.size, s.batch.Size())
	case !old.ended && time.Since(old.at).Abs() < oldStatusTimeout:
		return nil, fmt.Errorf("batch %s is being sent by an older Verdict on %s; stop that one, and try again in a minute", s.batch.ID, old.host)
	}
	return old, nil
}

func parseOldStatus(text string) (*oldStatus, error) {
	words := strings.SplitN(text, " ", 6)
	if len(words) != 6 || words[0] != oldStatusVersion || words[1] != "sending" && words[1] != "sent" {
		return nil, fmt.Errorf("its committed offsets are not the status of a batch, but %q", decision.OneLine(text, 48))
	}
	s := &oldStatus{content: words[3], ended: words[1] == "sent", host: decision.OneLine(words[5], 100)}
	var err error
	if s.size, err = strconv.ParseInt(words[2], 10, 64); err == nil {
		s.at, err = time.Parse(time.RFC3339, words[4])
	}
	if err != nil {
		return nil, fmt.Errorf("its committed offsets are not the status of a batch: %w", err)
	}
	return s, nil
}

// carryOver changes the entry of a new batch into that of the batch with this status.
func (o *oldStatus) carryOver(b *ledger.Batch) {
	b.FirstEdition, b.Begin, b.Began = true, o.offsets, time.Time{}
	b.Submitter = ledger.Author{Actor: "an older Verdict", Host: o.host, Command: "submit"}
	if o.ended {
		b.Size, b.Sent, b.Ended = o.size, o.size, o.at
	}
}

// findStored finds the rows of the first edition that are in the topic. Those after the
// first that this edition sent are not known to the ledger.
func (s *submission) findStored(ctx context.Context) error {
	c, topic := s.options.Ledger.Connection, s.options.Topic
	s.stored = newRowSet(s.entry.Done, s.batch.Rows)
	bounds, err := c.Bounds(ctx, topic)
	if err != nil {
		return err
	}
	ends, err := c.LogEnds(ctx, topic) // past what readers may see yet
	if err != nil {
		return err
	}
	o := broker.ScanOptions{Topic: topic, Offsets: make(map[int]int64), Ends: ends}
	for partition, end := range ends {
		from := s.entry.Begin[partition] // a partition that is newer begins at 0
		o.Offsets[partition] = from
		switch first := bounds[partition].First; {
		case from > end:
			return fmt.Errorf("topic %s partition %d ends at offset %d, but batch %s began at %d: was the topic deleted and made again? Find out what is missing (verdict follow %s) and submit that as a batch of its own",
				topic, partition, end, s.batch.ID, from, s.batch.ID)
		case from < first:
			return fmt.Errorf("batch %s: rows sent before it stopped may have been deleted: topic %s partition %d begins at offset %d, but the batch began at %d; find out what is missing (verdict follow %s) and submit that as a batch of its own",
				s.batch.ID, topic, partition, first, from, s.batch.ID)
		case from < end:
			o.Partitions = append(o.Partitions, partition)
		}
	}
	if len(o.Partitions) == 0 {
		return nil
	}
	return c.Scan(ctx, o, func(rec decision.Record) error {
		if place, ok := decision.BatchPlaceOf(rec.Headers); ok && place.ID == s.batch.ID {
			s.stored.add(place.Line)
		}
		return nil
	})
}
