package backfill

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// maxWindow bounds what a zstd file may ask for to be read, in bytes: what zstd's
// highest level writes.
const maxWindow = 128 << 20

// decompress is r without its compression, which is told by its content, and what
// lets go of the decompressor.
func decompress(r io.Reader) (io.Reader, func(), error) {
	b := bufio.NewReaderSize(r, 64<<10)
	magic, err := b.Peek(4)
	if err != nil && err != io.EOF {
		return nil, nil, fmt.Errorf("read the first bytes: %w", err)
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, nil, fmt.Errorf("open as gzip: %w", err)
		}
		return z, func() {}, nil
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		// One at a time: then there is no goroutine, and no buffer but the window.
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, fmt.Errorf("open as zstd: %w", err)
		}
		return z, z.Close, nil
	case bytes.HasPrefix(magic, []byte("PK\x03\x04")):
		return nil, nil, errors.New("a zip archive or a spreadsheet; save it as CSV, plain or with gzip or zstd")
	case bytes.HasPrefix(magic, []byte{0xff, 0xfe}), bytes.HasPrefix(magic, []byte{0xfe, 0xff}):
		return nil, nil, errors.New("text in UTF-16; save it as UTF-8")
	}
	return b, func() {}, nil
}

// head is the file's first line that has more than white space, or as much of it
// as there is within MaxLine, without a byte order mark, which is dropped.
func (l *lines) head() ([]byte, error) {
	bom := []byte("\ufeff")
	for l.end-l.at < len(bom) && l.fill() {
	}
	if bytes.HasPrefix(l.buf[l.at:l.end], bom) {
		l.at += len(bom)
	}
	for from := 0; ; {
		end, err := l.next(from)
		switch {
		case err == io.EOF:
			return nil, nil
		case err == errTooLong:
			return l.peek(MaxLine)[from:], nil
		case err != nil:
			return nil, err
		}
		if line := bytes.TrimSpace(l.peek(end)[from:]); len(line) > 0 {
			return line, nil
		}
		from = end
	}
}

// detect tells the format by the file's first line that is not empty.
func detect(head []byte) (Format, error) {
	switch {
	case bytes.HasPrefix(head, []byte("{")):
		return JSONLines, nil
	case bytes.HasPrefix(head, []byte("[")):
		return "", errors.New("a JSON array; give one JSON object a line")
	}
	return CSV, nil
}
