package rows

import (
	"bytes"
	"errors"
	"io"
)

// MaxLine is the maximum size in bytes of a line, or of a CSV row that spans several
// lines, with its line end. It is far above decision.MaxRecordSize, so that a row
// between the two limits is still read and reported for what it is.
const MaxLine = 1 << 20

// errTooLong reports that a line did not end within MaxLine bytes.
var errTooLong = errors.New("line too long")

// lines is a window over a file. It begins at the next unread line and reaches as
// far as was read ahead. A row is parsed in place and then dropped, whole
// or, where it is malformed, by its first line only. The window holds at most
// MaxLine bytes.
type lines struct {
	r          io.Reader
	buf        []byte
	start, end int   // buf[start:end] was read and not dropped
	err        error // how r ended
	line       int   // number of the line that begins at start, from 1
	cr         bool  // lines end with \r alone; the window has \n in its place
}

func newLines(r io.Reader) *lines {
	return &lines{r: r, buf: make([]byte, min(64<<10, MaxLine)), line: 1}
}

// fill reads more and reports whether it got any; if not, l.err says why. It must
// not be called with MaxLine bytes in the window.
func (l *lines) fill() bool {
	if l.end == len(l.buf) {
		to := l.buf
		if l.end-l.start > len(l.buf)/2 && len(l.buf) < MaxLine {
			to = make([]byte, min(2*len(l.buf), MaxLine))
		}
		l.end = copy(to, l.buf[l.start:l.end])
		l.buf, l.start = to, 0
	}
	for range 100 {
		if l.err != nil {
			return false
		}
		var n int
		n, l.err = l.r.Read(l.buf[l.end:])
		if l.cr {
			carriageReturns(l.buf[l.end : l.end+n])
		}
		l.end += n
		if n > 0 {
			return true
		}
	}
	l.err = io.ErrNoProgress
	return false
}

// findLineEnd detects lines that end with \r alone, as old programs for the Mac and
// Excel's "CSV (Macintosh)" write them: outside of quotes there is no \n, as far as
// the first buffer reaches.
func (l *lines) findLineEnd() {
	for l.end < len(l.buf) && l.fill() {
	}
	quoted, alone := false, false
	for i, c := range l.buf[l.start:l.end] {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '\n':
			return
		case c == '\r' && l.start+i+1 < l.end:
			alone = alone || l.buf[l.start+i+1] != '\n'
		case c == '\r':
			alone = alone || l.err == io.EOF
		}
	}
	if l.cr = alone; l.cr {
		carriageReturns(l.buf[l.start:l.end])
	}
}

// carriageReturns replaces every \r by \n.
func carriageReturns(b []byte) {
	for i, c := range b {
		if c == '\r' {
			b[i] = '\n'
		}
	}
}

// next returns the index after the line that begins at from; both count from the
// window's start. The last line needs no line end, and after it next returns io.EOF.
// After any other read error an unfinished line is dropped, since it may be cut.
func (l *lines) next(from int) (int, error) {
	for scanned := from; ; {
		window := l.buf[l.start:l.end]
		if i := bytes.IndexByte(window[scanned:], '\n'); i >= 0 {
			return scanned + i + 1, nil
		}
		if scanned = len(window); scanned >= MaxLine {
			return 0, errTooLong
		}
		if l.fill() {
			continue
		}
		if l.err == io.EOF && scanned > from {
			return scanned, nil
		}
		return 0, l.err
	}
}

// peek returns the window's first n bytes. They stay valid until the next call of
// next or skip, even after they are dropped.
func (l *lines) peek(n int) []byte { return l.buf[l.start : l.start+n] }

// drop drops the first n bytes, which must end with a line.
func (l *lines) drop(n int) {
	l.line += max(1, bytes.Count(l.peek(n), []byte{'\n'}))
	l.start += n
}

// skip drops a line that is too long, without holding it in memory.
func (l *lines) skip() error {
	for {
		window := l.buf[l.start:l.end]
		if i := bytes.IndexByte(window, '\n'); i >= 0 {
			l.drop(i + 1)
			return nil
		}
		l.start = l.end
		if !l.fill() {
			l.line++
			if l.err == io.EOF {
				return nil
			}
			return l.err
		}
	}
}

// trimEnd removes the \n, the \r\n, or at the end of the file the \r of a line.
func trimEnd(line []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte{'\n'}), []byte{'\r'})
}
