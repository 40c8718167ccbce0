package redrive

import (
	"encoding/base64"
	"fmt"
	"math/bits"
	"strings"
)

// windowKey identifies a window of a partition.
type windowKey struct {
	partition int
	index     int64 // the window begins at offset index*windowSize
}

// windowSize is the number of offsets in a window. Its bitmap must fit into
// offset.metadata.max.bytes, 4096 by default.
const windowSize = 24000

// window is a bitmap of the redriven offsets in a window.
type window [windowSize / 64]uint64

// windowPrefix begins the metadata of a window.
const windowPrefix = "redrive-1:"

// first returns the first offset of the window that was not redriven.
func (w *window) first() int64 {
	for i, word := range w {
		if word != ^uint64(0) {
			return int64(i*64 + bits.TrailingZeros64(^word))
		}
	}
	return windowSize
}

// end returns the offset after the last one of the window that was redriven.
func (w *window) end() int64 {
	for i := len(w) - 1; i >= 0; i-- {
		if w[i] != 0 {
			return int64(i*64 + bits.Len64(w[i]))
		}
	}
	return 0
}

// encode returns the bitmap as metadata: offset i is bit i%8 of byte i/8, without the
// zero bytes at the end.
func (w *window) encode() string {
	b := make([]byte, 0, windowSize/8)
	for _, word := range w {
		for shift := 0; shift < 64; shift += 8 {
			b = append(b, byte(word>>shift))
		}
	}
	n := len(b)
	for n > 0 && b[n-1] == 0 {
		n--
	}
	return windowPrefix + base64.StdEncoding.EncodeToString(b[:n])
}

func decodeWindow(metadata string) (*window, error) {
	text, ok := strings.CutPrefix(metadata, windowPrefix)
	if !ok {
		return nil, fmt.Errorf("its metadata does not begin with %s", windowPrefix)
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) > windowSize/8 {
		return nil, fmt.Errorf("its metadata is not a bitmap of %d offsets", windowSize)
	}
	w := new(window)
	for i, by := range b {
		w[i/8] |= uint64(by) << (i % 8 * 8)
	}
	return w, nil
}
