package submit

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"verdict/internal/broker"
	"verdict/internal/decision"
)

// status is what Kafka itself stores about a batch: the committed offsets of a consumer
// group without members (statusGroup). The offsets are where the batch begins in each
// partition of its topic; their metadata holds the rest.
type status struct {
	Offsets map[int]int64
	Size    int64
	Content string // Batch.Content
	Ended   bool   // all of it was acknowledged
	At      time.Time
	Host    string // the machine that wrote it
}

// statusGroup returns the consumer group that holds the status of a batch; group is the
// service's own.
func statusGroup(group, batchID string) string { return group + "-batch-" + batchID }

// statusVersion begins the metadata of a status.
const statusVersion = "verdict-batch-1"

func (s *status) metadata() string {
	state := "sending"
	if s.Ended {
		state = "sent"
	}
	return strings.Join([]string{
		statusVersion, state, strconv.FormatInt(s.Size, 10), s.Content, decision.Time{Time: s.At}.String(), s.Host,
	}, " ")
}

// write commits the status.
func (s *status) write(ctx context.Context, c *broker.Connection, group, topic string) error {
	offsets := make(map[int]broker.GroupOffset, len(s.Offsets))
	for partition, offset := range s.Offsets {
		offsets[partition] = broker.GroupOffset{Offset: offset, Metadata: s.metadata()}
	}
	return c.CommitGroupOffsets(ctx, group, topic, offsets)
}

// readStatus reads the status of a batch in its topic; nil if there is none.
func readStatus(ctx context.Context, c *broker.Connection, group, topic string) (*status, error) {
	offsets, err := c.GroupOffsets(ctx, group, topic)
	if err != nil || len(offsets) == 0 {
		return nil, err
	}
	var s *status
	for partition, o := range offsets {
		read, err := parseStatus(o.Metadata)
		if err != nil {
			return nil, fmt.Errorf("group %s: %w", group, err)
		}
		if s == nil {
			s = read
			s.Offsets = make(map[int]int64)
		}
		s.Offsets[partition] = o.Offset
	}
	return s, nil
}

func parseStatus(text string) (*status, error) {
	words := strings.SplitN(text, " ", 6)
	if len(words) != 6 || words[0] != statusVersion || words[1] != "sending" && words[1] != "sent" {
		return nil, fmt.Errorf("its committed offsets are not the status of a batch, but %q", decision.OneLine(text, 48))
	}
	s := &status{Content: words[3], Ended: words[1] == "sent", Host: words[5]}
	var err error
	if s.Size, err = strconv.ParseInt(words[2], 10, 64); err == nil {
		s.At, err = time.Parse(time.RFC3339, words[4])
	}
	if err != nil {
		return nil, fmt.Errorf("its committed offsets are not the status of a batch: %w", err)
	}
	return s, nil
}
