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

// entry is what a spill sorts: by key, then by place.
type entry struct {
	key   [2]uint64
	place place
	extra uint64 // payload
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
	// spillEntries is the number of entries to sort in memory before they are written
	// as a run.
	spillEntries = 128 << 10
	// mergeBuffers is the memory, in bytes, shared by the read buffers of all runs; each
	// of them gets at least minMergeBuffer.
	mergeBuffers   = 4 << 20
	minMergeBuffer = 4 << 10
)

// spill sorts any number of entries in bounded memory. Entries beyond the limit are
// sorted and written to one temporary file as runs, 32 bytes per entry, which merged
// joins while reading. It is for one goroutine.
type spill struct {
	dir     string // of the temporary file; empty: the system's folder
	entries []entry
	limit   int // entries in memory; 0: spillEntries
	runs    []run
	file    *os.File // of the runs; nil: none yet
	size    int64    // of the runs, in bytes
	sorted  bool     // entries are in order
}

// run is a sorted part of the file.
type run struct{ offset, size int64 }

// add adds an entry.
func (s *spill) add(e entry) error {
	s.limit = cmp.Or(s.limit, spillEntries)
	if len(s.entries) == s.limit {
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

// flush writes the entries to the file as a run.
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

// reset removes all entries and keeps the file for the next ones.
func (s *spill) reset() {
	s.entries, s.runs, s.size = s.entries[:0], s.runs[:0], 0
}

// close removes the file.
func (s *spill) close() {
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
	s.entries, s.runs = nil, nil
}
