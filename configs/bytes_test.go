package configs

import (
	"testing"

	"pgregory.net/rapid"
)

func TestBytesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := Bytes(rapid.Int64Min(0).Draw(t, "bytes"))
		if got, err := parseBytes(b.String()); err != nil || got != b {
			t.Errorf("%d prints as %s and parses as %d, %v", int64(b), b, int64(got), err)
		}
	})
	for _, text := range []string{"", "MiB", "-1", "1.5MiB", "1 mib", "32MB", "9223372036854775807KiB", "0x10"} {
		if b, err := parseBytes(text); err == nil {
			t.Errorf("%q parses as %d", text, b)
		}
	}
}
