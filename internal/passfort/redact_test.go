package passfort

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzClean checks that clean returns one bounded line without the key.
func FuzzClean(f *testing.F) {
	f.Add("unknown task\r\n\tof\x00this \xff profile", "s3cret-key")
	f.Add("your key is s3cret-key, really: s3cret-key", "s3cret-key")
	f.Add(`quoted \"a\"b`, `"a"b`)
	f.Add(strings.Repeat("x", maxMessage-3)+"s3cret-key", "s3cret-key")
	f.Fuzz(func(t *testing.T, text, key string) {
		// A shorter key may occur by chance, also within "[redacted]".
		if checkKey(key) != nil || len(key) < 8 || strings.Contains(redacted, key) {
			t.Skip()
		}
		got := clean(text, key)
		if len(got) > maxMessage || !utf8.ValidString(got) || strings.ContainsFunc(got, unicode.IsControl) {
			t.Errorf("not one bounded line: %q", got)
		}
		if strings.Contains(text, key) && strings.Contains(got, key) && !strings.Contains(key, "redacted") {
			t.Errorf("the key is in %q", got)
		}
	})
}
