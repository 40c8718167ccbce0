package recordset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// source is what records are read from: a piece of memory, or a stream of which at most
// left bytes are read.
type source struct {
	piece []byte
	r     io.Reader // nil: it is a piece
	left  int64
	one   [1]byte
}

func (s *source) remaining() int64 {
	if s.r == nil {
		return int64(len(s.piece))
	}
	return s.left
}

func (s *source) Read(b []byte) (n int, err error) {
	switch {
	case s.r == nil:
		n = copy(b, s.piece)
		s.piece = s.piece[n:]
		if n == 0 && len(b) > 0 {
			err = io.EOF
		}
		return n, err
	case s.left <= 0:
		return 0, io.EOF
	}
	n, err = s.r.Read(b[:min(int64(len(b)), s.left)])
	s.left -= int64(n)
	return n, err
}

// part returns a source of the next size bytes: a piece of memory of their own, out of
// which the parts of a record are cut, or a stream if they are more than MaxRecord.
func (s *source) part(size int64) (*source, error) {
	if size > MaxRecord {
		return &source{r: s, left: size}, nil
	}
	if s.r == nil && size > s.remaining() {
		return nil, io.ErrUnexpectedEOF
	}
	piece := make([]byte, size)
	_, err := io.ReadFull(s, piece)
	return &source{piece: piece}, err
}

// ReadByte reads one byte.
func (s *source) ReadByte() (byte, error) {
	if s.r == nil {
		if len(s.piece) == 0 {
			return 0, io.EOF
		}
		b := s.piece[0]
		s.piece = s.piece[1:]
		return b, nil
	}
	if byter, ok := s.r.(io.ByteReader); ok && s.left > 0 {
		s.left--
		return byter.ReadByte()
	}
	_, err := io.ReadFull(s, s.one[:])
	return s.one[0], err
}

func (s *source) varint() (int64, error) { return binary.ReadVarint(s) }

// bytes reads a length and as many bytes; nil for the length -1.
func (s *source) bytes() ([]byte, error) {
	size, err := s.varint()
	if err != nil || size == -1 {
		return nil, err
	}
	return s.take(size)
}

// take reads so many bytes. Of a stream it returns nothing if they are more than maxKept.
func (s *source) take(size int64) ([]byte, error) {
	switch {
	case size < 0 || size > s.remaining():
		return nil, fmt.Errorf("it claims %d bytes of the %d that are left", size, s.remaining())
	case s.r == nil:
		taken := s.piece[:size:size]
		s.piece = s.piece[size:]
		return taken, nil
	case size > maxKept:
		_, err := io.CopyN(io.Discard, s, size)
		return nil, err
	}
	taken := make([]byte, size)
	_, err := io.ReadFull(s, taken)
	return taken, err
}

// finish fails if a record has more bytes than its parts.
func (s *source) finish() error {
	if n := s.remaining(); n > 0 {
		return fmt.Errorf("%d bytes follow its headers", n)
	}
	return nil
}

// noEOF turns the end of the data within a record into what it is, an error.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
