package rows

import (
	"bytes"
	"encoding/json"
	"io"

	"verdict/internal/decision"
)

// Format is the format of a file's rows.
type Format string

// The formats. With DetectFormat the first character that is not white space
// decides: { begins JSON Lines, or objects of several lines each, and [ an array.
const (
	DetectFormat Format = ""
	CSV          Format = "csv"
	JSONLines    Format = "jsonl"

	jsonArray   Format = "json array"
	jsonObjects Format = "json objects"
	workbook    Format = "xlsx"
)

// detect returns the format of a file by its first line that is not blank.
func (l *lines) detect(head []byte) Format {
	switch {
	case bytes.HasPrefix(head, []byte("[")):
		if next := bytes.TrimLeft(head[1:], " \t\r\n"); len(next) == 0 || next[0] == '{' || next[0] == ']' {
			return jsonArray
		}
		return CSV // a title in brackets, say
	case !bytes.HasPrefix(head, []byte("{")), len(head) >= 38 && decision.ValidID(string(bareID(head[:38]))):
		return CSV
	case json.Valid(head):
		return JSONLines
	}
	// The first object may go on in further lines, as jq and many others write it.
	v := jsonValue{}
	from := l.space(0)
	if end, err := v.end(l, from); err == nil && bytes.IndexByte(l.peek(end)[from:], '\n') >= 0 && json.Valid(l.peek(end)[from:]) {
		return jsonObjects
	}
	return JSONLines
}

// head returns the file's first line that is not blank, trimmed; of a line that is too
// long, what fits into the window.
func (l *lines) head() ([]byte, error) {
	for from := 0; ; {
		end, err := l.next(from)
		switch {
		case err == io.EOF:
			return nil, nil
		case err == errTooLong:
			return bytes.TrimSpace(l.peek(MaxLine)[from:]), nil
		case err != nil:
			return nil, err
		}
		if line := bytes.TrimSpace(l.peek(end)[from:]); len(line) > 0 {
			return line, nil
		}
		from = end
	}
}
