package recordset

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

const (
	// maxWindow bounds what zstd may keep of what it has unpacked: producers use 8 MiB at
	// most unless they ask for more.
	maxWindow = 32 << 20
	// maxBlock bounds a block of snappy, which is unpacked whole.
	maxBlock = 64 << 20
)

// compressions are the readers of each compression, by its number.
var compressions = [...]struct {
	name string
	open func(packed []byte) (r io.Reader, done func(), err error)
}{
	1: {"gzip", openGzip}, 2: {"snappy", openSnappy}, 3: {"lz4", openLZ4}, 4: {"zstd", openZstd},
}

// unpack returns a stream of what a batch holds. done must be called after it was read.
func unpack(attributes uint16, packed []byte) (s *source, done func(), err error) {
	n := int(attributes & compressionBits)
	switch {
	case n == 0:
		return &source{piece: packed}, func() {}, nil
	case n >= len(compressions):
		return nil, nil, fmt.Errorf("its compression %d is not known", n)
	}
	c := &compressions[n]
	r, done, err := c.open(packed)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", c.name, noEOF(err))
	}
	return &source{r: bufio.NewReader(&named{c.name, r}), left: math.MaxInt64}, done, nil
}

// named says in its errors which compression they are of.
type named struct {
	name string
	r    io.Reader
}

func (n *named) Read(b []byte) (int, error) {
	read, err := n.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%s: %w", n.name, err)
	}
	return read, err
}

var gzips = sync.Pool{New: func() any { return new(gzip.Reader) }}

func openGzip(packed []byte) (io.Reader, func(), error) {
	z := gzips.Get().(*gzip.Reader)
	if err := z.Reset(bytes.NewReader(packed)); err != nil {
		return nil, nil, err
	}
	return z, func() { gzips.Put(z) }, nil
}

var lz4s = sync.Pool{New: func() any { return lz4.NewReader(nil) }}

func openLZ4(packed []byte) (io.Reader, func(), error) {
	z := lz4s.Get().(*lz4.Reader)
	z.Reset(bytes.NewReader(packed))
	return z, func() { lz4s.Put(z) }, nil
}

var zstds = sync.Pool{New: func() any {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		panic(err) // by an option that is wrong
	}
	return z
}}

func openZstd(packed []byte) (io.Reader, func(), error) {
	z := zstds.Get().(*zstd.Decoder)
	if err := z.Reset(bytes.NewReader(packed)); err != nil {
		return nil, nil, err
	}
	return z, func() {
		if z.Reset(nil) == nil {
			zstds.Put(z)
		}
	}, nil
}

// xerialMagic begins the framing of snappy by the Java client: the magic, two versions,
// and then blocks that each begin with their length. Other clients send one bare block.
var xerialMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

const xerialHead = 16

func openSnappy(packed []byte) (io.Reader, func(), error) {
	if bytes.HasPrefix(packed, xerialMagic) {
		if len(packed) < xerialHead {
			return nil, nil, io.ErrUnexpectedEOF
		}
		return &blocks{packed: packed[xerialHead:]}, func() {}, nil
	}
	unpacked, err := unpackBlock(nil, packed)
	return bytes.NewReader(unpacked), func() {}, err
}

// blocks reads blocks of snappy, one at a time.
type blocks struct {
	packed   []byte
	unpacked []byte // of the present block, what was not read yet
	memory   []byte
}

func (s *blocks) Read(b []byte) (int, error) {
	for len(s.unpacked) == 0 {
		if len(s.packed) == 0 {
			return 0, io.EOF
		}
		if len(s.packed) < 4 {
			return 0, io.ErrUnexpectedEOF
		}
		size := int64(binary.BigEndian.Uint32(s.packed))
		if s.packed = s.packed[4:]; size > int64(len(s.packed)) {
			return 0, fmt.Errorf("a block claims %d bytes of the %d that are left", size, len(s.packed))
		}
		var err error
		if s.memory, err = unpackBlock(s.memory, s.packed[:size]); err != nil {
			return 0, err
		}
		s.packed, s.unpacked = s.packed[size:], s.memory
	}
	n := copy(b, s.unpacked)
	s.unpacked = s.unpacked[n:]
	return n, nil
}

// unpackBlock unpacks a block into memory, or into more if that is too little. A block
// can't hold more than 22 times its size: 64 bytes take 3.
func unpackBlock(memory, packed []byte) ([]byte, error) {
	size, err := snappy.DecodedLen(packed)
	if err != nil {
		return nil, err
	}
	if size > maxBlock || size > 22*len(packed)+64 {
		return nil, fmt.Errorf("a block of %d bytes claims to hold %d", len(packed), size)
	}
	return snappy.Decode(memory[:cap(memory)], packed)
}
