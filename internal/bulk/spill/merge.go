package spill

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Sorted returns a reader of all records in order. Several may be in use at once, as long
// as nothing is added.
func (s *Sorter) Sorted() *Reader {
	s.sort()
	m := &Reader{}
	if len(s.spans) > 0 {
		m.runs = append(m.runs, &runReader{sorter: s, rest: s.spans})
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
	heap.Init((*runHeap)(&m.runs))
	return m
}

// Reader reads sorted runs as one.
type Reader struct {
	runs   []*runReader // a heap, ordered by their next records
	record []byte       // returned last
	err    error
}

// Next returns the next record, and io.EOF after the last. The record is valid until the
// next call.
func (m *Reader) Next() ([]byte, error) {
	if m.err != nil {
		return nil, m.err
	}
	if len(m.runs) == 0 {
		return nil, io.EOF
	}
	first := m.runs[0]
	m.record = append(m.record[:0], first.next...)
	switch err := first.advance(); {
	case err == io.EOF:
		heap.Pop((*runHeap)(&m.runs))
	case err != nil:
		m.err = err
	default:
		heap.Fix((*runHeap)(&m.runs), 0)
	}
	return m.record, nil
}

// runReader reads one run, from memory or from the file.
type runReader struct {
	next   []byte
	sorter *Sorter // of a run in memory
	rest   []span
	file   *bufio.Reader // nil: the run is in memory
}

// advance reads the next record; at the run's end it returns io.EOF.
func (r *runReader) advance() error {
	if r.file == nil {
		if len(r.rest) == 0 {
			return io.EOF
		}
		r.next, r.rest = r.sorter.at(r.rest[0]), r.rest[1:]
		return nil
	}
	size, err := binary.ReadUvarint(r.file)
	if err == io.EOF {
		return err
	}
	if err == nil {
		r.next = slices.Grow(r.next[:0], int(size))[:size]
		_, err = io.ReadFull(r.file, r.next)
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("read a temporary file: %w", err)
	}
	return nil
}

// runHeap implements heap.Interface.
type runHeap []*runReader

func (h runHeap) Len() int { return len(h) }

func (h runHeap) Less(i, j int) bool { return bytes.Compare(h[i].next, h[j].next) < 0 }

func (h runHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

func (h *runHeap) Push(x any) { *h = append(*h, x.(*runReader)) }

func (h *runHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
