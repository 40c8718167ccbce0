package rows

import (
	"bytes"
	"io"
)

// cells is one parsed row of CSV (RFC 4180). It accepts what encoding/csv accepts.
// But encoding/csv itself would hold the rest of a file in memory after an
// unclosed quote, and lose all of its rows.
type cells struct {
	separator byte
	text      []byte // the text of all cells, concatenated
	ends      []int  // where each cell ends in text
}

func (c *cells) count() int { return len(c.ends) }

// cell returns the unquoted text of cell i. It is valid until the next read.
func (c *cells) cell(i int) []byte {
	if i == 0 {
		return c.text[:c.ends[0]]
	}
	return c.text[c.ends[i-1]:c.ends[i]]
}

// read parses the row at the start of the window, without dropping it, and returns
// its length in bytes. A fault costs the first line only: n is then that line's
// length, and parsing resumes after it. So an unclosed quote spoils one row, not
// everything up to the next quote.
//
// No line is scanned more than twice, whatever the file: a quote left open by one
// line is closed, correctly or not, by the next line with an odd number of quotes,
// and only such a line leaves one open.
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
				if quote < 0 { // the cell continues on the next line
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
				return first, "text after a cell's closing quote", nil
			}
		}
		c.ends = append(c.ends, len(c.text))
		if i == len(row) {
			return n, "", nil
		}
	}
}
