package rows

import (
	"bytes"
	"io"
)

// cells is one row of CSV (RFC 4180), taken apart. It reads what encoding/csv
// reads, but encoding/csv would hold the rest of a file in memory where a quote is
// not closed, and lose all of its rows.
type cells struct {
	separator byte
	text      []byte // all cells, one behind the other
	ends      []int  // where each cell ends in text
}

func (c *cells) count() int { return len(c.ends) }

// cell is the text of cell i, unquoted. It stays as it is until the next read.
func (c *cells) cell(i int) []byte {
	if i == 0 {
		return c.text[:c.ends[0]]
	}
	return c.text[c.ends[i-1]:c.ends[i]]
}

// read takes the row apart that begins the window, and drops nothing. It returns
// the row's length in bytes. A fault is of the first line alone, and so is the
// length then: what follows it is read as if that line had not been there, so
// that a lost quote costs one row and not all up to the next quote.
//
// This looks at no line more than twice, whatever the file: a quote that a line
// leaves open is closed, well or badly, by the next line with an odd number of
// quotes, and only such a line leaves one open.
func (c *cells) read(l *lines) (n int, fault string, err error) {
	c.text, c.ends = c.text[:0], c.ends[:0]
	first, err := l.next(0)
	if err != nil {
		return 0, "", err
	}
	n = first
	row := trimEnd(l.peek(n))
	for i := 0; ; i++ { // past the separator
		if i == len(row) || row[i] != '"' {
			end := bytes.IndexByte(row[i:], c.separator)
			if end < 0 {
				end = len(row) - i
			}
			cell := row[i : i+end]
			if bytes.IndexByte(cell, '"') >= 0 {
				return first, "a quote inside a cell that does not begin with one", nil
			}
			c.text = append(c.text, cell...)
			i += end
		} else {
			for i++; ; {
				quote := bytes.IndexByte(row[i:], '"')
				if quote < 0 { // the cell goes on in the next line
					c.text = append(append(c.text, row[i:]...), '\n')
					more, err := l.next(n)
					if err == io.EOF || err == errTooLong {
						return first, "a quote is not closed", nil
					}
					if err != nil {
						return 0, "", err
					}
					i, n = n, more
					row = trimEnd(l.peek(n))
					continue
				}
				c.text = append(c.text, row[i:i+quote]...)
				i += quote + 1
				if i == len(row) || row[i] != '"' {
					break
				}
				c.text = append(c.text, '"')
				i++
			}
			if i < len(row) && row[i] != c.separator {
				return first, "text behind a cell's closing quote", nil
			}
		}
		c.ends = append(c.ends, len(c.text))
		if i == len(row) {
			return n, "", nil
		}
	}
}
