package backfill

import (
	"bufio"
	"cmp"
	"container/heap"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
)

// entry is what is sorted: by key, then by place.
type entry struct {
	key   [2]uint64
	place place
	extra uint64 // what it is sorted for
}

const entrySize = 32

func (e *entry) compare(other *entry) int {
	if c := cmp.Compare(e.key[0], other.key[0]); c != 0 {
		return c
	}
	if c := cmp.Compare(e.key[1], other.key[1]); c != 0 {
		return c
	}
	return cmp.Compare(e.place, other.place)
}

const (
	// spillEntries is how many entries are sorted in memory before they go to the
	// disk as a run.
	spillEntries = 128 << 10
	// mergeBuffers is the memory by which all runs are read at once, in bytes, and
	// leastMergeBuffer what each of them gets at the least.
	mergeBuffers     = 4 << 20
	leastMergeBuffer = 4 << 10
)

// spill sorts entries of any number in bounded memory: what does not fit is
// sorted in runs, which go to one temporary file, at 32 bytes an entry, and are
// merged while they are read. It is for one goroutine.
type spill struct {
	dir     string // of the temporary file; empty: the system's
	entries []entry
	most    int   // entries in memory; 0: spillEntries
	runs    []run // of file
	file    *os.File
	size    int64
	sorted  bool // entries
}

// run is a part of the file that is sorted.
type run struct{ offset, size int64 }

// add adds an entry, before the first call of each.
func (s *spill) add(e entry) error {
	s.most = cmp.Or(s.most, spillEntries)
	if len(s.entries) == s.most {
		if err := s.flush(); err != nil {
			return err
		}
	}
	s.entries = append(s.entries, e)
	s.sorted = false
	return nil
}

func (s *spill) sort() {
	if !s.sorted {
		slices.SortFunc(s.entries, func(a, b entry) int { return a.compare(&b) })
		s.sorted = true
	}
}

// flush makes the entries a run in the file.
func (s *spill) flush() error {
	if s.file == nil {
		var err error
		if s.file, err = unnamed(s.dir); err != nil {
			return err
		}
	}
	s.sort()
	w := bufio.NewWriterSize(io.NewOffsetWriter(s.file, s.size), 64<<10)
	var b [entrySize]byte
	for i := range s.entries {
		e := &s.entries[i]
		binary.BigEndian.PutUint64(b[0:], e.key[0])
		binary.BigEndian.PutUint64(b[8:], e.key[1])
		binary.BigEndian.PutUint64(b[16:], uint64(e.place))
		binary.BigEndian.PutUint64(b[24:], e.extra)
		if _, err := w.Write(b[:]); err != nil {
			return fmt.Errorf("write a temporary file: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write a temporary file: %w", err)
	}
	size := int64(len(s.entries)) * entrySize
	s.runs = append(s.runs, run{s.size, size})
	s.size += size
	s.entries = s.entries[:0]
	return nil
}

// reset forgets all entries; the file stays for the next ones.
func (s *spill) reset() {
	s.entries, s.runs, s.size = s.entries[:0], s.runs[:0], 0
}

// close lets the file go.
func (s *spill) close() {
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
	s.entries, s.runs = nil, nil
}

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
func (m *merge) Len() int           { return len(m.heads) }
func (m *merge) Less(i, j int) bool { return m.heads[i].now.compare(&m.heads[j].now) < 0 }
func (m *merge) Swap(i, j int)      { m.heads[i], m.heads[j] = m.heads[j], m.heads[i] }
func (m *merge) Push(x any)         { m.heads = append(m.heads, x.(*head)) }
func (m *merge) Pop() any {
	last := m.heads[len(m.heads)-1]
	m.heads = m.heads[:len(m.heads)-1]
	return last
}

// unnamed is a temporary file that is gone when it is closed, also by a crash.
func unnamed(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "verdict-submit-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary file: %w (TMPDIR says where)", err)
	}
	// Where an open file can't be removed it stays behind; that is all it does.
	_ = os.Remove(f.Name())
	return f, nil
}
