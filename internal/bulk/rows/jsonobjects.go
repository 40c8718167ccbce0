package rows

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// jsonValue finds where a JSON value ends: where its braces and brackets are closed
// outside of strings. Whether it is valid is found out later.
type jsonValue struct {
	depth            int
	inString, escape bool
	scalar           bool
}

// errNotClosed reports that a file ended within a JSON value.
var errNotClosed = errors.New("the file ends within an object; it may be cut short")

// end returns where the value that begins at from in the window ends.
func (v *jsonValue) end(l *lines, from int) (int, error) {
	for at := from; ; {
		for window := l.buf[l.start:l.end]; at < len(window); at++ {
			switch v.step(window[at]) {
			case afterThis:
				return at + 1, nil
			case beforeThis:
				return at, nil
			case goesOn:
			}
		}
		if at >= MaxLine {
			return 0, errTooLong
		}
		if !l.fill() {
			if l.err == io.EOF && v.scalar && at > from {
				return at, nil
			}
			if l.err == io.EOF {
				return 0, errNotClosed
			}
			return 0, l.err
		}
	}
}

// ending says whether a value ends at a byte.
type ending int

const (
	goesOn ending = iota
	afterThis
	beforeThis
)

// step takes the next byte of the value.
func (v *jsonValue) step(c byte) ending {
	switch {
	case v.escape:
		v.escape = false
	case v.inString:
		v.escape = c == '\\'
		v.inString = c != '"'
		if !v.inString && v.depth == 0 {
			return afterThis
		}
	case c == '"':
		v.inString = true
	case c == '{' || c == '[':
		v.depth++
	case c == '}' || c == ']':
		if v.depth == 0 {
			return beforeThis
		}
		if v.depth--; v.depth == 0 {
			return afterThis
		}
	case v.depth > 0:
	case c == ',' || isSpace(c):
		return beforeThis
	default: // a number, true, or what is no JSON
		v.scalar = true
	}
	return goesOn
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// space returns the index after the white space at from.
func (l *lines) space(from int) int {
	for at := from; ; at++ {
		if at == l.end-l.start && (at >= MaxLine || !l.fill()) || !isSpace(l.buf[l.start+at]) {
			return at
		}
	}
}

// begin drops white space, then c if it comes next, and reports whether it did. It
// drops white space without holding it.
func (l *lines) begin(c byte) bool {
	for {
		n := 0
		for n < l.end-l.start && isSpace(l.buf[l.start+n]) {
			n++
		}
		l.advance(n)
		if l.start < l.end {
			break
		}
		if !l.fill() {
			return false
		}
	}
	if l.buf[l.start] != c {
		return false
	}
	l.advance(1)
	return true
}

// advance drops the first n bytes, which need not end with a line.
func (l *lines) advance(n int) {
	l.line += bytes.Count(l.peek(n), []byte{'\n'})
	l.start += n
}

// nextObject reads the next element of an array, or the next of several values.
func (r *Reader) nextObject() (Row, error) {
	row := Row{Line: r.objects + 1}
	if r.format == jsonArray {
		comma := r.objects > 0 && r.lines.begin(',')
		switch {
		case r.lines.begin(']'):
			if comma {
				return row, errors.New("the array ends with a comma; the file may be cut short")
			}
			if r.lines.begin(0); r.lines.start < r.lines.end {
				return row, errors.New("there is something after the end of the array; put all objects into one array")
			}
			return row, r.lines.ended()
		case r.objects > 0 && !comma && r.lines.start < r.lines.end:
			return row, fmt.Errorf("a comma or ] must come before it, in line %d", r.lines.line)
		}
	}
	r.lines.begin(0)
	if r.lines.start == r.lines.end {
		err := r.lines.ended()
		if err == io.EOF && r.format == jsonArray {
			err = errors.New("the file ends within the array; it may be cut short")
		}
		return row, err
	}
	var v jsonValue
	n, err := v.end(r.lines, 0)
	if err == nil && n == 0 {
		err = fmt.Errorf("there is a %q too many, in line %d", r.lines.buf[r.lines.start], r.lines.line)
	}
	if err == errTooLong {
		err = fmt.Errorf("it is longer than %d bytes", MaxLine)
	}
	if err != nil {
		return row, err
	}
	r.objects++
	row.Raw = r.lines.peek(n)
	row.Value, row.Key = r.edit.line(row.Raw, r.number, row.Line)
	r.lines.advance(n)
	return row, nil
}

// ended returns how the file ended.
func (l *lines) ended() error {
	if l.err == nil {
		l.fill()
	}
	return l.err
}
