package rows

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// Encoding is how a file's text is encoded.
type Encoding string

// The encodings. With DetectEncoding a byte order mark decides; without one, text is
// UTF-8. Windows-1252 is never assumed: nearly any text can be read as it.
const (
	DetectEncoding Encoding = ""
	UTF8           Encoding = "utf-8"
	UTF16LE        Encoding = "utf-16le"
	UTF16BE        Encoding = "utf-16be"
	Windows1252    Encoding = "windows-1252"
)

// Encodings are the encodings that can be asked for.
var Encodings = []Encoding{UTF8, UTF16LE, UTF16BE, Windows1252}

// encodingMarks are the byte order marks.
var encodingMarks = []struct {
	mark     string
	encoding Encoding
}{{"\xef\xbb\xbf", UTF8}, {"\xff\xfe", UTF16LE}, {"\xfe\xff", UTF16BE}}

// textReader returns a reader of the text in r as UTF-8, without its byte order mark.
func textReader(r *bufio.Reader, wanted Encoding) (io.Reader, error) {
	head, err := r.Peek(sniffed)
	if len(head) == 0 && err != nil && err != io.EOF {
		return nil, fmt.Errorf("read the first bytes: %w", err)
	}
	if bytes.HasPrefix(head, []byte("\xff\xfe\x00\x00")) || bytes.HasPrefix(head, []byte("\x00\x00\xfe\xff")) {
		return nil, errors.New("the file is UTF-32 text; save it as UTF-8")
	}
	encoding := wanted
	for _, m := range encodingMarks {
		if !bytes.HasPrefix(head, []byte(m.mark)) {
			continue
		}
		if wanted != DetectEncoding && wanted != m.encoding {
			return nil, fmt.Errorf("the file begins with the byte order mark of %s, so it is not %s; leave out --encoding", m.encoding, wanted)
		}
		encoding = m.encoding
		_, _ = r.Discard(len(m.mark)) // peeked above
		head = head[len(m.mark):]
		break
	}
	switch encoding {
	case UTF16LE:
		return &utf16Reader{r: r, low: 0}, nil
	case UTF16BE:
		return &utf16Reader{r: r, low: 1}, nil
	case Windows1252:
		head, _ := r.Peek(r.Size()) // what can't be read is met again
		if isUTF8(head) {
			return nil, fmt.Errorf("the file is UTF-8 text, and letters such as é would be garbled as %s; leave out --encoding", Windows1252)
		}
		return &windows1252Reader{r: r}, nil
	case DetectEncoding, UTF8:
	}
	return r, zeroBytes(head)
}

// zeroBytes returns an error for text that is full of zero bytes.
func zeroBytes(head []byte) error {
	at := [2]int{} // zero bytes at even and at odd places
	for i, b := range head {
		if b == 0 {
			at[i%2]++
		}
	}
	const few = 4 // of a hundred bytes
	switch total := at[0] + at[1]; {
	case total*100 <= few*len(head):
		return nil
	case at[1] > 9*at[0]:
		return fmt.Errorf("the file looks like UTF-16 text without a byte order mark; save it as UTF-8, or add --encoding %s", UTF16LE)
	case at[0] > 9*at[1]:
		return fmt.Errorf("the file looks like UTF-16 text without a byte order mark; save it as UTF-8, or add --encoding %s", UTF16BE)
	}
	return errors.New("the file is not text; save it as CSV or .xlsx")
}

// isUTF8 reports whether the start of a text has letters beyond ASCII, all of them in
// UTF-8. Text in another encoding is not so by chance.
func isUTF8(head []byte) bool {
	more := false
	for i := 0; i < len(head); {
		r, size := utf8.DecodeRune(head[i:])
		if r == utf8.RuneError && size == 1 {
			return more && len(head)-i < utf8.UTFMax && !utf8.FullRune(head[i:]) // cut in a letter
		}
		more = more || size > 1
		i += size
	}
	return more
}

// utf16Reader reads UTF-16 as UTF-8. Half of a surrogate pair becomes bytes that are
// not valid UTF-8, so that it is reported as a fault and not replaced.
type utf16Reader struct {
	r    *bufio.Reader
	low  int    // which byte of a unit is the lower one: 0 or 1
	left []byte // read and not returned yet
	buf  [4]byte
}

// Read reads at least one character.
func (u *utf16Reader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(u.left) > 0 {
			c := copy(p[n:], u.left)
			n, u.left = n+c, u.left[c:]
			continue
		}
		if n > 0 && u.r.Buffered() < 4 {
			break // what is there is returned before more is waited for
		}
		unit, err := u.unit()
		if err != nil {
			if n > 0 {
				return n, nil
			}
			return 0, err
		}
		if !utf16.IsSurrogate(unit) {
			u.left = utf8.AppendRune(u.buf[:0], unit)
			continue
		}
		u.left = append(u.buf[:0], 0xe0|byte(unit>>12), 0x80|byte(unit>>6&0x3f), 0x80|byte(unit&0x3f))
		if next, err := u.r.Peek(2); err == nil {
			if r := utf16.DecodeRune(unit, u.value(next)); r != utf8.RuneError {
				_, _ = u.r.Discard(2) // peeked above
				u.left = utf8.AppendRune(u.buf[:0], r)
			}
		}
	}
	return n, nil
}

func (u *utf16Reader) value(b []byte) rune { return rune(b[u.low]) | rune(b[1-u.low])<<8 }

func (u *utf16Reader) unit() (rune, error) {
	var b [2]byte
	if n, err := io.ReadFull(u.r, b[:]); err != nil {
		if n == 1 && errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("UTF-16 text with an odd number of bytes; the file may be cut short")
		}
		return 0, err
	}
	return u.value(b[:]), nil
}

// windows1252Reader reads Windows-1252 as UTF-8.
type windows1252Reader struct {
	r    *bufio.Reader
	left []byte
	buf  [4]byte
}

// high are the characters 80 to 9F of Windows-1252; those from A0 on are Unicode's
// own. Five are not used: they become bytes that are not valid UTF-8.
const high = "€\x00‚ƒ„…†‡ˆ‰Š‹Œ\x00Ž\x00\x00‘’“”•–—˜™š›œ\x00žŸ"

var highRunes = []rune(high)

func appendWindows1252(to []byte, c byte) []byte {
	switch {
	case c < 0x80:
		return append(to, c)
	case c >= 0xa0:
		return utf8.AppendRune(to, rune(c))
	case highRunes[c-0x80] == 0:
		return append(to, c)
	}
	return utf8.AppendRune(to, highRunes[c-0x80])
}

// Read reads at least one character.
func (w *windows1252Reader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(w.left) > 0 {
			c := copy(p[n:], w.left)
			n, w.left = n+c, w.left[c:]
			continue
		}
		if n > 0 && w.r.Buffered() == 0 {
			break
		}
		c, err := w.r.ReadByte()
		if err != nil {
			if n > 0 {
				return n, nil
			}
			return 0, err
		}
		w.left = appendWindows1252(w.buf[:0], c)
	}
	return n, nil
}

// notUTF8 describes the first bytes of text that are not UTF-8, with a guess at what
// they should be; empty if there are none.
func notUTF8(text []byte) string {
	at := 0
	for at < len(text) {
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		at += size
	}
	if at == len(text) {
		return ""
	}
	// The word around the byte.
	from, to := at, at+1
	for from > 0 && at-from < 20 && isWordByte(text[from-1]) {
		from--
	}
	for to < len(text) && to-at < 20 && isWordByte(text[to]) {
		to++
	}
	var guess []byte
	for _, c := range text[from:to] {
		guess = appendWindows1252(guess, c)
	}
	if !utf8.Valid(guess) {
		return fmt.Sprintf("the byte %X is not UTF-8; save the file as UTF-8", text[at])
	}
	return fmt.Sprintf("the byte %X is not UTF-8; if the word is %s, the file is Windows-1252: add --encoding %s", text[at], quote(string(guess)), Windows1252)
}

func isWordByte(c byte) bool {
	return c >= 0x80 || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}
