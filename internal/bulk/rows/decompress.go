package rows

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// maxWindow is the largest window, in bytes, that a zstd file may ask for: the window
// of zstd's highest level.
const maxWindow = 128 << 20

// sniffed is the number of bytes at the start of a file that its kind is detected by.
const sniffed = 512

// decompress returns a reader of the uncompressed content of r, whose compression it
// detects, and a function that releases the decompressor.
func decompress(r io.Reader) (io.Reader, func(), error) {
	b := bufio.NewReaderSize(r, 64<<10)
	magic, err := b.Peek(sniffed)
	if len(magic) == 0 && err != nil && err != io.EOF {
		return nil, nil, fmt.Errorf("read the first bytes: %w", err)
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, nil, fmt.Errorf("open as gzip: %w", err)
		}
		z.Multistream(false)
		return &gzipMembers{z, b}, func() {}, nil
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		// Without concurrency there is no goroutine, and no buffer but the window.
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, fmt.Errorf("open as zstd: %w", err)
		}
		return z, z.Close, nil
	}
	return b, func() {}, nil
}

// gzipMembers reads a gzip file of one or more members. Zero bytes may follow, with
// which some programs fill up the last block, and which gzip itself passes over.
type gzipMembers struct {
	z *gzip.Reader
	b *bufio.Reader // z reads from it, and no more than it needs
}

// Read reads the uncompressed content.
func (g *gzipMembers) Read(p []byte) (int, error) {
	for {
		n, err := g.z.Read(p)
		if n > 0 || !errors.Is(err, io.EOF) {
			if err == io.EOF {
				err = nil // the next call looks for another member
			}
			return n, err
		}
		for {
			next, err := g.b.ReadByte()
			if err != nil {
				return 0, err
			}
			if next != 0 {
				break
			}
		}
		_ = g.b.UnreadByte() // it was read just now
		if err := g.z.Reset(g.b); err != nil {
			return 0, err
		}
		g.z.Multistream(false)
	}
}
