package recordset

import (
	"errors"
	"fmt"
	"math"
)

// maxKept is how much of the key and of the headers of a record larger than MaxRecord is
// kept, in bytes.
const maxKept = 64 << 10

// records delivers the records of a batch. What can't be read of it is one Bad.
func (r *reader) records(h *header, packed []byte) error {
	unpacked, done, err := unpack(h.attributes, packed)
	if err != nil {
		return r.bad(h.first, h.last, err)
	}
	defer done()
	at := h.first - 1 // the offset of the record before
	for n := range h.records {
		rec, err := readRecord(unpacked, h)
		if err == nil && (rec.Offset <= at || rec.Offset > h.last) {
			err = fmt.Errorf("a record at offset %d follows the one at %d, and the batch ends at %d", rec.Offset, at, h.last)
		}
		if err != nil {
			return r.bad(at+1, h.last, fmt.Errorf("record %d of %d: %w", n+1, h.records, noEOF(err)))
		}
		at = rec.Offset
		if err := r.deliver(rec); err != nil {
			return err
		}
	}
	r.next = max(r.next, h.last+1) // what is missing at its end was compacted away
	return nil
}

// readRecord reads the next record of a batch.
func readRecord(r *source, h *header) (rec Record, err error) {
	size, err := r.varint()
	if err != nil {
		return rec, err
	}
	if size < 0 || size > math.MaxInt32 {
		return rec, fmt.Errorf("its size is %d bytes", size)
	}
	rec.Size = size
	body, err := r.part(size)
	if err != nil {
		return rec, err
	}
	if err := body.record(&rec, h); err != nil {
		return rec, err
	}
	return rec, body.finish()
}

// record reads the parts of a record.
func (s *source) record(rec *Record, h *header) error {
	if _, err := s.ReadByte(); err != nil { // attributes, of which none is in use
		return err
	}
	after, err := s.varint()
	if err != nil {
		return err
	}
	rec.Time = timeOf(h.firstTime + after)
	if h.attributes&logAppendBit != 0 {
		rec.Time = timeOf(h.maxTime)
	}
	delta, err := s.varint()
	if err != nil {
		return err
	}
	if delta < 0 || delta > h.last-h.first {
		return fmt.Errorf("its offset is %d after the batch's", delta)
	}
	rec.Offset = h.first + delta
	if rec.Key, err = s.bytes(); err != nil {
		return fmt.Errorf("key: %w", err)
	}
	if rec.Value, err = s.bytes(); err != nil {
		return fmt.Errorf("value: %w", err)
	}
	return s.headers(rec)
}

// headers reads the headers of a record.
func (s *source) headers(rec *Record) error {
	n, err := s.varint()
	if err != nil {
		return err
	}
	// A header has two bytes at least, so a number that is impossible costs nothing.
	if n < 0 || n > (s.remaining()+1)/2 {
		return fmt.Errorf("it claims %d headers", n)
	}
	kept := 0
	for range n {
		size, err := s.varint()
		if err != nil {
			return err
		}
		if size < 0 {
			return errors.New("a header has no key")
		}
		key, err := s.take(size)
		if err != nil {
			return fmt.Errorf("header: %w", err)
		}
		value, err := s.bytes()
		if err != nil {
			return fmt.Errorf("header: %w", err)
		}
		// The program's bound on a huge record, not the format's.
		if kept += len(key) + len(value); rec.Size <= MaxRecord || kept <= maxKept {
			rec.Headers = append(rec.Headers, Header{Key: string(key), Value: value})
		}
	}
	return nil
}
