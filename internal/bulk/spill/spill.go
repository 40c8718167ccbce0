// Package spill sorts any number of records in bounded memory. A record is a string of
// bytes, and bytes decide the order, so numbers in a key are big-endian. What the bytes
// mean is left to the caller.
package spill

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
)

const (
	// defaultLimit is the default of Sorter.Limit.
	defaultLimit = 4 << 20
	// mergeBuffers is the memory, in bytes, shared by the read buffers of all runs; each
	// of them gets at least minMergeBuffer.
	mergeBuffers   = 4 << 20
	minMergeBuffer = 4 << 10
)

// Sorter sorts records. Those beyond Limit are sorted and written to one temporary file as
// runs, which Sorted joins while reading. It is for one goroutine.
type Sorter struct {
	// Dir is the folder of the temporary file; empty: the system's.
	Dir string
	// Limit is how many bytes of records are held in memory; 0: 4 MiB.
	Limit int

	held   []byte // the records in memory, one after the other
	spans  []span // where each of them is
	runs   []run
	file   *os.File // of the runs; nil: none yet
	size   int64    // of the runs, in bytes
	sorted bool     // spans are in the order of their records
}

// span is the place of a record in Sorter.held.
type span struct{ from, to uint32 }

// run is a sorted part of the file, in which each record follows its length.
type run struct{ offset, size int64 }

func (s *Sorter) at(p span) []byte { return s.held[p.from:p.to] }

// Add adds a record, given in parts.
func (s *Sorter) Add(parts ...[]byte) error {
	size := 0
	for _, part := range parts {
		size += len(part)
	}
	if len(s.spans) > 0 && len(s.held)+size > cmp.Or(s.Limit, defaultLimit) {
		if err := s.flush(); err != nil {
			return err
		}
	}
	from := len(s.held)
	for _, part := range parts {
		s.held = append(s.held, part...)
	}
	s.spans = append(s.spans, span{uint32(from), uint32(len(s.held))})
	s.sorted = false
	return nil
}

func (s *Sorter) sort() {
	if !s.sorted {
		slices.SortFunc(s.spans, func(a, b span) int { return bytes.Compare(s.at(a), s.at(b)) })
		s.sorted = true
	}
}

// flush writes the records to the file as a run.
func (s *Sorter) flush() error {
	if s.file == nil {
		var err error
		if s.file, err = TempFile(s.Dir); err != nil {
			return err
		}
	}
	s.sort()
	w := bufio.NewWriterSize(io.NewOffsetWriter(s.file, s.size), 64<<10)
	size := int64(0)
	var length [binary.MaxVarintLen64]byte
	for _, p := range s.spans {
		record := s.at(p)
		n := binary.PutUvarint(length[:], uint64(len(record)))
		_, _ = w.Write(length[:n]) // Flush returns the first error
		_, _ = w.Write(record)
		size += int64(n + len(record))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write a temporary file: %w", err)
	}
	s.runs = append(s.runs, run{s.size, size})
	s.size += size
	s.held, s.spans = s.held[:0], s.spans[:0]
	return nil
}

// Reset removes all records and keeps the file for the next ones.
func (s *Sorter) Reset() {
	s.held, s.spans, s.runs, s.size = s.held[:0], s.spans[:0], s.runs[:0], 0
}

// Close removes the file and all records.
func (s *Sorter) Close() {
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
	s.held, s.spans, s.runs = nil, nil, nil
}

// TempFile opens a temporary file that has no name, so that it is gone when it is closed,
// even by a crash.
func TempFile(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "verdict-")
	if err != nil {
		return nil, fmt.Errorf("create a temporary file (TMPDIR sets its folder): %w", err)
	}
	// Some systems can't remove an open file. There it stays behind, which is harmless.
	_ = os.Remove(f.Name())
	return f, nil
}
