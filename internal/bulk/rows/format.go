package rows

import (
	"bytes"
	"errors"
	"io"
)

// head is the file's first line that has more than white space, or as much of it
// as there is within MaxLine, without a byte order mark, which is dropped.
func (l *lines) head() ([]byte, error) {
	bom := []byte("\ufeff")
	for l.end-l.at < len(bom) && l.fill() {
	}
	if bytes.HasPrefix(l.buf[l.at:l.end], bom) {
		l.at += len(bom)
	}
	for from := 0; ; {
		end, err := l.next(from)
		switch {
		case err == io.EOF:
			return nil, nil
		case err == errTooLong:
			return l.peek(MaxLine)[from:], nil
		case err != nil:
			return nil, err
		}
		if line := bytes.TrimSpace(l.peek(end)[from:]); len(line) > 0 {
			return line, nil
		}
		from = end
	}
}

// detect tells the format by the file's first line that is not empty.
func detect(head []byte) (Format, error) {
	switch {
	case bytes.HasPrefix(head, []byte("{")):
		return JSONLines, nil
	case bytes.HasPrefix(head, []byte("[")):
		return "", errors.New("a JSON array; give one JSON object a line")
	}
	return CSV, nil
}

// Format is how a file holds its rows.
type Format string

// The formats. A file is told by its first character that is no white space: {
// begins JSON Lines.
const (
	DetectFormat Format = ""
	CSV          Format = "csv"
	JSONLines    Format = "jsonl"
)
