package rows

import (
	"bufio"
	"cmp"
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
		if s.file, err = tempFile(s.dir); err != nil {
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
