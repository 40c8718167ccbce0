package recordset

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

// A message of the formats v0 and v1, which Kafka wrote before its version 0.11 and
// still gives out as they are: offset, length, checksum, version, attributes, a timestamp
// (v1), key and value. A compressed message holds a set of messages as its value, and has
// the offset of the last of them. Theirs count from 0 in v1.
const (
	messageHead = 4 + 1 + 1 // checksum, version and attributes
	stampSize   = 8
)

// message delivers a message, or those in it.
func (r *reader) message(b []byte) error {
	offset := int64(binary.BigEndian.Uint64(b))
	if offset < r.from { // a compressed one has the offset of its last
		return nil
	}
	if crc32.ChecksumIEEE(b[versionAt:]) != binary.BigEndian.Uint32(b[frameSize:]) {
		return r.bad(offset, offset, ErrChecksum)
	}
	attributes := uint16(b[versionAt+1])
	s, size := &source{piece: b[frameSize:]}, int64(len(b)-frameSize)
	if attributes&compressionBits == 0 {
		var err error
		if s, err = s.part(size); err != nil {
			return r.bad(offset, offset, err)
		}
	}
	m, err := readMessage(s, size)
	if err != nil {
		return r.bad(offset, offset, noEOF(err))
	}
	if attributes&compressionBits == 0 {
		m.Offset = offset
		return r.deliver(m)
	}
	return r.wrapped(&m, attributes, b[versionAt], offset)
}

// wrapped delivers the messages within a compressed one, whose offset is that of the last.
func (r *reader) wrapped(wrapper *Record, attributes uint16, version byte, offset int64) error {
	first := r.next // in v0 and where the messages can't be read, no more is known
	base := int64(0)
	if version == 1 {
		// Where messages were compacted away, the last one's own offset tells the first.
		last, err := lastWithin(attributes, wrapper.Value)
		if err != nil {
			return r.bad(first, offset, noEOF(err))
		}
		base = offset - last
	}
	unpacked, done, err := unpack(attributes, wrapper.Value)
	if err != nil {
		return r.bad(first, offset, err)
	}
	defer done()
	for at := int64(-1); ; {
		m, inner, err := nextWithin(unpacked)
		if err == io.EOF && at == offset {
			return nil
		}
		if m.Offset += base; err == nil && (m.Offset <= at || m.Offset > offset || inner&compressionBits != 0) {
			err = fmt.Errorf("a message at offset %d within one at %d follows %d", m.Offset, offset, at)
		}
		if err != nil {
			return r.bad(max(at+1, first), offset, noEOF(err))
		}
		at = m.Offset
		if attributes&logAppendBit != 0 {
			m.Time = wrapper.Time
		}
		if err := r.deliver(m); err != nil {
			return err
		}
	}
}

// lastWithin returns the offset of the last message within a compressed one.
func lastWithin(attributes uint16, packed []byte) (last int64, err error) {
	unpacked, done, err := unpack(attributes, packed)
	if err != nil {
		return 0, err
	}
	defer done()
	for last = -1; ; {
		m, _, err := nextWithin(unpacked)
		switch {
		case err == io.EOF && last >= 0:
			return last, nil
		case err != nil:
			return 0, err
		}
		last = m.Offset
	}
}

// nextWithin reads the next message of a stream, with the offset that it has there. io.EOF
// means that there is none.
func nextWithin(s *source) (m Record, attributes uint16, err error) {
	var head [frameSize + messageHead]byte
	if _, err := io.ReadFull(s, head[:1]); err != nil {
		return m, 0, err
	}
	if _, err := io.ReadFull(s, head[1:]); err != nil {
		return m, 0, noEOF(err)
	}
	size := int64(int32(binary.BigEndian.Uint32(head[8:])))
	if size < minLength {
		return m, 0, fmt.Errorf("%w: %d bytes", ErrFraming, size)
	}
	// Its own checksum is left alone: that of the message around it was right.
	rest := &source{r: io.MultiReader(&source{piece: head[frameSize:]}, s), left: size}
	if size <= MaxRecord {
		piece := make([]byte, size)
		copy(piece, head[frameSize:])
		if _, err := io.ReadFull(s, piece[messageHead:]); err != nil {
			return m, 0, noEOF(err)
		}
		rest = &source{piece: piece}
	}
	m, err = readMessage(rest, size)
	m.Offset = int64(binary.BigEndian.Uint64(head[:]))
	return m, uint16(head[frameSize+5]), noEOF(err)
}

// readMessage reads what follows the length of a message.
func readMessage(s *source, size int64) (m Record, err error) {
	m.Size = size
	var head [messageHead]byte
	if _, err := io.ReadFull(s, head[:]); err != nil {
		return m, err
	}
	if head[4] > 1 {
		return m, fmt.Errorf("its format v%d is not known", head[4])
	}
	if head[4] == 1 {
		var stamp [stampSize]byte
		if _, err := io.ReadFull(s, stamp[:]); err != nil {
			return m, err
		}
		m.Time = timeOf(int64(binary.BigEndian.Uint64(stamp[:])))
	}
	if m.Key, err = s.longBytes(); err != nil {
		return m, fmt.Errorf("key: %w", err)
	}
	if m.Value, err = s.longBytes(); err != nil {
		return m, fmt.Errorf("value: %w", err)
	}
	return m, s.finish()
}

// longBytes reads a length of four bytes and as many bytes; nil for the length -1.
func (s *source) longBytes() ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(s, length[:]); err != nil {
		return nil, err
	}
	size := int32(binary.BigEndian.Uint32(length[:]))
	if size == -1 {
		return nil, nil
	}
	return s.take(int64(size))
}
