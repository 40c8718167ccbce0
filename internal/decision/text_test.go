package decision_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"verdict/internal/decision"
)

func FuzzOneLine(f *testing.F) {
	f.Add("", 0)
	f.Add("a\nb", 2)
	f.Add("üüü", 3)
	f.Add("\xff\xfe\u2028\u0085", 7)
	f.Add(strings.Repeat("ü", 600), decision.MaxErrorSize)
	f.Fuzz(func(t *testing.T, s string, size int) {
		if size < 0 || size > 1<<16 {
			return
		}
		got := decision.OneLine(s, size)
		if len(got) > size || !utf8.ValidString(got) || strings.ContainsFunc(got, unicode.IsControl) || strings.ContainsAny(got, "\u2028\u2029") {
			t.Errorf("OneLine(%q, %d) = %q", s, size, got)
		}
		if again := decision.OneLine(got, size); again != got {
			t.Errorf("not stable: %q then %q", got, again)
		}
	})
}
