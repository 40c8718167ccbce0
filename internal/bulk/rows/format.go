package rows

import (
	"bytes"
	"errors"
	"io"
)

// Format is the format of a file's rows.
type Format string

// The formats. With DetectFormat the first character that is not white space
// decides: { begins JSON Lines.
const (
	DetectFormat Format = ""
	CSV          Format = "csv"
	JSONLines    Format = "jsonl"
)

// detect returns the format of a file by its first line that is not blank.
func detect(head []byte) (Format, error) {
	switch {
	case bytes.HasPrefix(head, []byte("{")):
		return JSONLines, nil
	case bytes.HasPrefix(head, []byte("[")):
		return "", errors.New("the file is a JSON array; write one JSON object per line")
	}
	return CSV, nil
}

// head drops the file's byte order mark and returns its first line that is not
// blank, trimmed; of a line that is too long, what fits into the window.
func (l *lines) head() ([]byte, error) {
	bom := []byte("\ufeff")
	for l.end-l.start < len(bom) && l.fill() {
	}
	if bytes.HasPrefix(l.buf[l.start:l.end], bom) {
		l.start += len(bom)
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
