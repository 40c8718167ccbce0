package redrive

import (
	"strings"
	"testing"
)

func TestWindowDecodingRejectsBrokenBitmaps(t *testing.T) {
	full := new(window)
	for i := range full {
		full[i] = ^uint64(0)
	}
	text := full.encode()
	if w, err := decodeWindow(text); err != nil || *w != *full || w.first() != windowSize || w.end() != windowSize || len(text) > 4096 {
		t.Errorf("a full window: %v, first %d, %d bytes", err, w.first(), len(text))
	}
	empty := new(window)
	if w, err := decodeWindow(empty.encode()); err != nil || *w != *empty || w.first() != 0 || w.end() != 0 {
		t.Errorf("an empty window: %v", err)
	}
	for _, bad := range []string{"", "v1:AA==", "redrive-1:?", "redrive-1:" + strings.Repeat("AAAA", 1001)} {
		if _, err := decodeWindow(bad); err == nil {
			t.Errorf("%.20q was read", bad)
		}
	}
}
