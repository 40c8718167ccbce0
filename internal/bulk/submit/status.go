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

// status is what Kafka itself remembers of a batch: the committed offsets of a
// consumer group that has no members, statusGroup. The offsets are where the batch
// begins in each partition of its topic; their metadata says the rest. Kafka keeps
// them for offsets.retention.minutes (a week by default) after the last commit. By
// it a second submit is noticed on any machine, and followers find the beginning.
type status struct {
	Offsets map[int]int64
	Size    int64
	Content string // Batch.Content
	Ended   bool   // all of it was acknowledged
	At      time.Time
	Host    string // that wrote it
}

// statusGroup is the consumer group that holds the mark of a batch; group is the
// service's own.
func statusGroup(group, batchID string) string { return group + "-batch-" + batchID }

const statusVersion = "verdict-batch-1"

func (m *status) metadata() string {
	state := "sending"
	if m.Ended {
		state = "sent"
	}
	return strings.Join([]string{
		statusVersion, state, strconv.FormatInt(m.Size, 10), m.Content, decision.Time{Time: m.At}.String(), m.Host,
	}, " ")
}

// write commits the mark.
func (m *status) write(ctx context.Context, c *broker.Connection, group, topic string) error {
	offsets := make(map[int]broker.GroupOffset, len(m.Offsets))
	for partition, offset := range m.Offsets {
		offsets[partition] = broker.GroupOffset{Offset: offset, Metadata: m.metadata()}
	}
	return c.CommitGroupOffsets(ctx, group, topic, offsets)
}

// readStatus reads the mark of a batch in its topic; nil: there is none.
func readStatus(ctx context.Context, c *broker.Connection, group, topic string) (*status, error) {
	offsets, err := c.GroupOffsets(ctx, group, topic)
	if err != nil || len(offsets) == 0 {
		return nil, err
	}
	var m *status
	for partition, o := range offsets {
		read, err := parseStatus(o.Metadata)
		if err != nil {
			return nil, fmt.Errorf("group %s: %w", group, err)
		}
		if m == nil {
			m = read
			m.Offsets = make(map[int]int64)
		}
		m.Offsets[partition] = o.Offset
	}
	return m, nil
}

func parseStatus(text string) (*status, error) {
	words := strings.SplitN(text, " ", 6)
	if len(words) != 6 || words[0] != statusVersion || words[1] != "sending" && words[1] != "sent" {
		return nil, fmt.Errorf("its offsets are no mark of a batch, but %s", strconv.Quote(decision.OneLine(text, 48)))
	}
	m := &status{Content: words[3], Ended: words[1] == "sent", Host: words[5]}
	var err error
	if m.Size, err = strconv.ParseInt(words[2], 10, 64); err == nil {
		m.At, err = time.Parse(time.RFC3339, words[4])
	}
	if err != nil {
		return nil, fmt.Errorf("its offsets are no mark of a batch: %w", err)
	}
	return m, nil
}
