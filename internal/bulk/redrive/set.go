package redrive

import (
	"context"
	"fmt"

	"verdict/internal/broker"
)

// offsetSet is which dead letters were redriven, by partition and offset. It is
// kept in Kafka as the commits of consumer groups without members: what filters
// left out stays open, and stays so anywhere between what was redriven, so that a
// committed offset alone does not say it. Each group holds a window of offsets of
// every partition: its committed offset is the first in the window that was not
// redriven, and the commit's metadata a bitmap of the window.
//
//	verdict-redrive     offsets 0 to 23,999
//	verdict-redrive-1   offsets 24,000 to 47,999, and so on
//
// It is pure but for load and commit, and belongs to one goroutine.
type offsetSet struct {
	group   string
	topic   string
	windows map[windowKey]*window
	changed map[windowKey]struct{}
}

func newOffsetSet(group, topic string) *offsetSet {
	return &offsetSet{group: group, topic: topic, windows: make(map[windowKey]*window), changed: make(map[windowKey]struct{})}
}

// groupOf is the group of a window.
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

// add notes that a dead letter was redriven.
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

// touch lets the next commit write every window.
func (s *offsetSet) touch() {
	for at := range s.windows {
		s.changed[at] = struct{}{}
	}
}

// load reads the commits for what the topic holds.
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
				return fmt.Errorf("the commit of group %s for %s/%d is not one of a redrive: %w; if that group is used by something else, set kafka.group_id to another",
					s.groupOf(index), s.topic, partition, err)
			}
			if end := bounds[partition].End; index*windowSize+w.end() > end {
				return fmt.Errorf("group %s has redriven dead letters of %s/%d beyond its end at %d, so the topic was made anew or lost records; if so, delete the groups %s* and begin anew",
					s.groupOf(index), s.topic, partition, end, s.group)
			}
			s.windows[windowKey{partition, index}] = w
		}
	}
	return nil
}

// commit writes the windows that changed.
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
