package rows

import (
	"bufio"
	"container/heap"
	"encoding/binary"
	"fmt"
	"io"
)

// merged returns a reader of all entries in order. Several may be in use at once, as
// long as nothing is added.
func (s *spill) merged() *merge {
	s.sort()
	m := &merge{}
	if len(s.entries) > 0 {
		m.runs = append(m.runs, &runReader{rest: s.entries})
	}
	buffer := max(minMergeBuffer, mergeBuffers/max(1, len(s.runs)))
	for _, r := range s.runs {
		m.runs = append(m.runs, &runReader{file: bufio.NewReaderSize(io.NewSectionReader(s.file, r.offset, r.size), buffer)})
	}
	for _, r := range m.runs {
		if m.err = r.advance(); m.err != nil {
			return m
		}
	}
	heap.Init(m)
	return m
}

// merge reads sorted runs as one. It is a heap of the runs, ordered by their next
// entries.
type merge struct {
	runs []*runReader
	err  error
}

// runReader reads one run, from memory or from the file.
type runReader struct {
	next entry
	rest []entry       // of a run in memory
	file *bufio.Reader // nil: the run is in memory
}

// advance reads the next entry; at the run's end it returns io.EOF.
func (r *runReader) advance() error {
	if r.file == nil {
		if len(r.rest) == 0 {
			return io.EOF
		}
		r.next, r.rest = r.rest[0], r.rest[1:]
		return nil
	}
	var b [entrySize]byte
	if _, err := io.ReadFull(r.file, b[:]); err == io.EOF {
		return err
	} else if err != nil {
		return fmt.Errorf("read a temporary file: %w", err)
	}
	r.next = entry{
		key:   [2]uint64{binary.BigEndian.Uint64(b[0:]), binary.BigEndian.Uint64(b[8:])},
		place: place(binary.BigEndian.Uint64(b[16:])),
		extra: binary.BigEndian.Uint64(b[24:]),
	}
	return nil
}

// next returns the next entry of all runs, and io.EOF after the last.
func (m *merge) next() (entry, error) {
	if m.err != nil {
		return entry{}, m.err
	}
	if len(m.runs) == 0 {
		return entry{}, io.EOF
	}
	first := m.runs[0]
	e := first.next
	switch err := first.advance(); {
	case err == io.EOF:
		heap.Pop(m)
	case err != nil:
		m.err = err
	default:
		heap.Fix(m, 0)
	}
	return e, nil
}

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (m *merge) Len() int { return len(m.runs) }

func (m *merge) Less(i, j int) bool { return m.runs[i].next.compare(&m.runs[j].next) < 0 }

func (m *merge) Swap(i, j int) { m.runs[i], m.runs[j] = m.runs[j], m.runs[i] }

func (m *merge) Push(x any) { m.runs = append(m.runs, x.(*runReader)) }

func (m *merge) Pop() any {
	last := m.runs[len(m.runs)-1]
	m.runs = m.runs[:len(m.runs)-1]
	return last
}
