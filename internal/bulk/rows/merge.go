package rows

import (
	"bufio"
	"container/heap"
	"encoding/binary"
	"fmt"
	"io"
)

// merged begins to read the entries in their order. It may be called again, and
// again while another is read, as long as nothing is added.
func (s *spill) merged() *merge {
	s.sort()
	m := &merge{}
	if len(s.entries) > 0 {
		m.heads = append(m.heads, &head{rest: s.entries})
	}
	buffer := max(leastMergeBuffer, mergeBuffers/max(1, len(s.runs)))
	for _, r := range s.runs {
		m.heads = append(m.heads, &head{r: bufio.NewReaderSize(io.NewSectionReader(s.file, r.offset, r.size), buffer)})
	}
	for _, h := range m.heads {
		if m.err = h.next(); m.err != nil {
			return m
		}
	}
	heap.Init(m)
	return m
}

// merge reads sorted runs as one.
type merge struct {
	heads []*head
	err   error
}

// head is a run at its next entry.
type head struct {
	now  entry
	rest []entry // of a run in memory
	r    *bufio.Reader
}

// next moves on; io.EOF is the run's end.
func (h *head) next() error {
	if h.r == nil {
		if len(h.rest) == 0 {
			return io.EOF
		}
		h.now, h.rest = h.rest[0], h.rest[1:]
		return nil
	}
	var b [entrySize]byte
	if _, err := io.ReadFull(h.r, b[:]); err == io.EOF {
		return err
	} else if err != nil {
		return fmt.Errorf("read a temporary file: %w", err)
	}
	h.now = entry{
		key:   [2]uint64{binary.BigEndian.Uint64(b[0:]), binary.BigEndian.Uint64(b[8:])},
		place: place(binary.BigEndian.Uint64(b[16:])),
		extra: binary.BigEndian.Uint64(b[24:]),
	}
	return nil
}

// next is the next entry of all; io.EOF after the last.
func (m *merge) next() (entry, error) {
	if m.err != nil {
		return entry{}, m.err
	}
	if len(m.heads) == 0 {
		return entry{}, io.EOF
	}
	first := m.heads[0]
	e := first.now
	switch err := first.next(); {
	case err == io.EOF:
		heap.Pop(m)
	case err != nil:
		m.err = err
	default:
		heap.Fix(m, 0)
	}
	return e, nil
}

// Len, Less, Swap, Push and Pop are for container/heap.
func (m *merge) Len() int { return len(m.heads) }

func (m *merge) Less(i, j int) bool { return m.heads[i].now.compare(&m.heads[j].now) < 0 }

func (m *merge) Swap(i, j int) { m.heads[i], m.heads[j] = m.heads[j], m.heads[i] }

func (m *merge) Push(x any) { m.heads = append(m.heads, x.(*head)) }

func (m *merge) Pop() any {
	last := m.heads[len(m.heads)-1]
	m.heads = m.heads[:len(m.heads)-1]
	return last
}
