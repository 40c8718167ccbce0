package backfill

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/bits"
	"strings"

	"verdict/internal/broker"
)

// redriveSet is which dead letters were redriven, by partition and offset. It is
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
type redriveSet struct {
	group   string
	topic   string
	windows map[redriveWindow]*windowBits
	changed map[redriveWindow]struct{}
}

type redriveWindow struct {
	partition int
	index     int64
}

// windowSize is the number of offsets in a window: its bitmap must fit the
// brokers' offset.metadata.max.bytes, 4096 unless set otherwise.
const windowSize = 24000

type windowBits [windowSize / 64]uint64

const redriveMetadata = "redrive-1:"

func newRedriveSet(group, topic string) *redriveSet {
	return &redriveSet{group: group, topic: topic, windows: make(map[redriveWindow]*windowBits), changed: make(map[redriveWindow]struct{})}
}

// groupOf is the group of a window.
func (s *redriveSet) groupOf(index int64) string {
	if index == 0 {
		return s.group
	}
	return fmt.Sprintf("%s-%d", s.group, index)
}

func (s *redriveSet) has(partition int, offset int64) bool {
	w := s.windows[redriveWindow{partition, offset / windowSize}]
	i := offset % windowSize
	return w != nil && w[i/64]&(1<<(i%64)) != 0
}

// add notes that a dead letter was redriven.
func (s *redriveSet) add(partition int, offset int64) {
	if s.has(partition, offset) {
		return
	}
	at := redriveWindow{partition, offset / windowSize}
	w := s.windows[at]
	if w == nil {
		w = new(windowBits)
		s.windows[at] = w
	}
	i := offset % windowSize
	w[i/64] |= 1 << (i % 64)
	s.changed[at] = struct{}{}
}

// touch lets the next commit write every window.
func (s *redriveSet) touch() {
	for at := range s.windows {
		s.changed[at] = struct{}{}
	}
}

// load reads the commits for what the topic holds.
func (s *redriveSet) load(ctx context.Context, c *broker.Connection, bounds map[int]broker.Bound) error {
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
			s.windows[redriveWindow{partition, index}] = w
		}
	}
	return nil
}

// commit writes the windows that changed.
func (s *redriveSet) commit(ctx context.Context, c *broker.Connection) error {
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
			delete(s.changed, redriveWindow{partition, index})
		}
	}
	return nil
}

// first is the first offset of the window that was not redriven.
func (w *windowBits) first() int64 {
	for i, word := range w {
		if word != ^uint64(0) {
			return int64(i*64 + bits.TrailingZeros64(^word))
		}
	}
	return windowSize
}

// end is behind the last offset of the window that was redriven.
func (w *windowBits) end() int64 {
	for i := len(w) - 1; i >= 0; i-- {
		if w[i] != 0 {
			return int64(i*64 + bits.Len64(w[i]))
		}
	}
	return 0
}

// encode writes the bitmap: bit i of byte i/8, lowest first, without the zeros at
// its end.
func (w *windowBits) encode() string {
	b := make([]byte, 0, windowSize/8)
	for _, word := range w {
		for shift := 0; shift < 64; shift += 8 {
			b = append(b, byte(word>>shift))
		}
	}
	n := len(b)
	for n > 0 && b[n-1] == 0 {
		n--
	}
	return redriveMetadata + base64.StdEncoding.EncodeToString(b[:n])
}

func decodeWindow(metadata string) (*windowBits, error) {
	text, ok := strings.CutPrefix(metadata, redriveMetadata)
	if !ok {
		return nil, fmt.Errorf("its metadata does not begin with %s", redriveMetadata)
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) > windowSize/8 {
		return nil, fmt.Errorf("its metadata is no bitmap of %d offsets", windowSize)
	}
	w := new(windowBits)
	for i, by := range b {
		w[i/8] |= uint64(by) << (i % 8 * 8)
	}
	return w, nil
}
