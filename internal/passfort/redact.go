package passfort

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxMessage = 1 << 10 // bytes of Error.Message
	redacted   = "[redacted]"
)

// clean turns untrusted text into one line of valid UTF-8 without the key and
// without control characters, at most 1 KiB long. It removes the key first, so that
// no cut or replacement can leave a part of it.
func clean(s, key string) string {
	s = redact(s, key)
	var b strings.Builder
	space := false
	for _, r := range s {
		if r == '\n' || r == '\r' || r == '\t' || r == ' ' {
			space = b.Len() > 0
			continue
		}
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			r = utf8.RuneError
		}
		n := utf8.RuneLen(r)
		if space {
			n++
		}
		if b.Len()+n > maxMessage {
			break
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return b.String()
}

// redact removes the key from s, both verbatim and as Go or JSON would quote it.
func redact(s, key string) string {
	if key == "" {
		return s
	}
	s = strings.ReplaceAll(s, key, redacted)
	inJSON, _ := json.Marshal(key) // never fails for a string
	for _, quoted := range []string{strconv.Quote(key), string(inJSON)} {
		s = strings.ReplaceAll(s, quoted[1:len(quoted)-1], redacted)
	}
	return s
}
