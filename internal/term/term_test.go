package term

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestConfirmAcceptsOnlyYes(t *testing.T) {
	for answer, want := range map[string]bool{"y\n": true, "YES\n": true, "\n": false, "": false, "n\n": false, "yesterday\n": false, "y": true} {
		if got := Confirm(strings.NewReader(answer), io.Discard, "?"); got != want {
			t.Errorf("%q: %v", answer, got)
		}
	}
	if Confirm(brokenReader{}, io.Discard, "?") {
		t.Error("a broken terminal said yes")
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("broken") }
