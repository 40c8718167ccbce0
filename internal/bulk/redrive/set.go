package redrive

import (
	"context"
	"fmt"

	"verdict/internal/broker"
)

// offsetSet is the set of dead letters that were redriven, by partition and offset. It is
// stored in the committed offsets of consumer groups without members. Each group holds
// a window of offsets of every partition: its committed offset is the first in the window
// that was not redriven, the commit's metadata a bitmap of the window. (The metadata of
// package consumer is made for one commit; a filtered redrive would stop at its first
// 24,000 open letters.)
//
//	verdict-redrive     offsets 0 to 23,999
//	verdict-redrive-1   offsets 24,000 to 47,999, and so on
//
// Only load and commit use Kafka. The set belongs to one goroutine.
type offsetSet struct {
	group   string
	topic   string
	windows map[windowKey]*window
	changed map[windowKey]struct{}
}

func newOffsetSet(group, topic string) *offsetSet {
	return &offsetSet{group: group, topic: topic, windows: make(map[windowKey]*window), changed: make(map[windowKey]struct{})}
}

// groupOf returns the group of the windows with this index.
func (s *offsetSet) groupOf(index int64) string {
	if index == 0 {
		return s.group
	}
	return fmt.Sprintf("%s-%d", s.group, index)
}

func (s *offsetSet) has(partition int, offset int64) bool {
	w := s.windows[windowKey{partition, offset / windowSize}]
	i := offset % windowSize
	return w != nil && w[i/64]&(1<<(i%64)) != 0
}

// add adds a dead letter that was redriven.
func (s *offsetSet) add(partition int, offset int64) {
	if s.has(partition, offset) {
		return
	}
	at := windowKey{partition, offset / windowSize}
	w := s.windows[at]
	if w == nil {
		w = new(window)
		s.windows[at] = w
	}
	i := offset % windowSize
	w[i/64] |= 1 << (i % 64)
	s.changed[at] = struct{}{}
}

// changeAll makes the next commit write every window.
func (s *offsetSet) changeAll() {
	for at := range s.windows {
		s.changed[at] = struct{}{}
	}
}

// load reads the windows of the offsets that the topic holds.
func (s *offsetSet) load(ctx context.Context, c *broker.Connection, bounds map[int]broker.Bound) error {
	first, last := int64(1), int64(0) // none
	for _, b := range bounds {
		if b.First >= b.End {
			continue
		}
		from, to := b.First/windowSize, (b.End-1)/windowSize
		if first > last {
			first, last = from, to
		}
		first, last = min(first, from), max(last, to)
	}
	for index := first; index <= last; index++ {
		offsets, err := c.GroupOffsets(ctx, s.groupOf(index), s.topic)
		if err != nil {
			return err
		}
		for partition, o := range offsets {
			w, err := decodeWindow(o.Metadata)
			if err != nil {
				return fmt.Errorf("the committed offset of group %s for %s/%d was not written by a redrive: %w; if another program uses that group, set kafka.group_id to another name",
					s.groupOf(index), s.topic, partition, err)
			}
			if end := bounds[partition].End; index*windowSize+w.end() > end {
				return fmt.Errorf("group %s has redriven dead letters of %s/%d beyond its end at %d, so the topic was recreated or lost records; if so, delete the groups %s* and start over",
					s.groupOf(index), s.topic, partition, end, s.group)
			}
			s.windows[windowKey{partition, index}] = w
		}
	}
	return nil
}

// commit commits the windows that changed.
func (s *offsetSet) commit(ctx context.Context, c *broker.Connection) error {
	byIndex := make(map[int64]map[int]broker.GroupOffset)
	for at := range s.changed {
		if byIndex[at.index] == nil {
			byIndex[at.index] = make(map[int]broker.GroupOffset)
		}
		w := s.windows[at]
		byIndex[at.index][at.partition] = broker.GroupOffset{Offset: at.index*windowSize + w.first(), Metadata: w.encode()}
	}
	for index, offsets := range byIndex {
		if err := c.CommitGroupOffsets(ctx, s.groupOf(index), s.topic, offsets); err != nil {
			return err
		}
		for partition := range offsets {
			delete(s.changed, windowKey{partition, index})
		}
	}
	return nil
}
