package rows

import (
	"bytes"
	"errors"
	"io"
)

// MaxLine bounds a line, and a CSV row that goes over several, in bytes with its
// line end. It is far above what a decision may have (decision.MaxRecordSize), so
// that a line between the two is still read and faulted as what it is.
const MaxLine = 1 << 20

// errTooLong says that MaxLine bytes went by without a line's end.
var errTooLong = errors.New("line too long")

// lines is a window over a file, from the line that is next to as far as was
// looked ahead. A row is looked at in place and then dropped as a whole or, where
// it turns out broken, by its first line alone. It holds MaxLine bytes at the most.
type lines struct {
	r       io.Reader
	buf     []byte
	at, end int   // buf[at:end] is read and not dropped
	err     error // how r ended
	line    int   // the number of the line that begins at at, from 1
}

func newLines(r io.Reader) *lines {
	return &lines{r: r, buf: make([]byte, min(64<<10, MaxLine)), line: 1}
}

// fill reads on. It says whether there is more than before; if not, l.err says why.
// It must not be called with MaxLine bytes in the window.
func (l *lines) fill() bool {
	if l.end == len(l.buf) {
		to := l.buf
		if l.end-l.at > len(l.buf)/2 && len(l.buf) < MaxLine {
			to = make([]byte, min(2*len(l.buf), MaxLine))
		}
		l.end = copy(to, l.buf[l.at:l.end])
		l.buf, l.at = to, 0
	}
	for range 100 {
		if l.err != nil {
			return false
		}
		var n int
		n, l.err = l.r.Read(l.buf[l.end:])
		l.end += n
		if n > 0 {
			return true
		}
	}
	l.err = io.ErrNoProgress
	return false
}

// next is the index behind the line that begins at from, both counted from the
// window's start. The last line needs no line end; behind it is io.EOF. After any
// other error of the reader an unfinished line is none: it may have been cut.
func (l *lines) next(from int) (int, error) {
	for looked := from; ; {
		window := l.buf[l.at:l.end]
		if i := bytes.IndexByte(window[looked:], '\n'); i >= 0 {
			return looked + i + 1, nil
		}
		if looked = len(window); looked >= MaxLine {
			return 0, errTooLong
		}
		if l.fill() {
			continue
		}
		if l.err == io.EOF && looked > from {
			return looked, nil
		}
		return 0, l.err
	}
}

// peek is the window's first n bytes. They stay as they are until the next call of
// next or skip, also when they are dropped.
func (l *lines) peek(n int) []byte { return l.buf[l.at : l.at+n] }

// drop lets n bytes go, which must end with a line.
func (l *lines) drop(n int) {
	l.line += max(1, bytes.Count(l.peek(n), []byte{'\n'}))
	l.at += n
}

// skip lets go of a line that is too long, without holding it.
func (l *lines) skip() error {
	for {
		window := l.buf[l.at:l.end]
		if i := bytes.IndexByte(window, '\n'); i >= 0 {
			l.drop(i + 1)
			return nil
		}
		l.at = l.end
		if !l.fill() {
			l.line++
			if l.err == io.EOF {
				return nil
			}
			return l.err
		}
	}
}

// trimEnd is a line without its \n or \r\n, or a \r before the end of the file.
func trimEnd(line []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte{'\n'}), []byte{'\r'})
}
