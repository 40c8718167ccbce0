package rows

import (
	"bytes"
	"io"
	"unicode"
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

func (c *cells) reset() { c.text, c.ends = c.text[:0], c.ends[:0] }

// end ends a cell, the text of which was appended to c.text.
func (c *cells) end() { c.ends = append(c.ends, len(c.text)) }

// blank reports whether no cell has any text from index i on.
func (c *cells) blank(i int) bool {
	for ; i < c.count(); i++ {
		if len(trimCell(c.cell(i))) > 0 {
			return false
		}
	}
	return true
}

// strings returns a copy of the cells, trimmed.
func (c *cells) strings() []string {
	all := make([]string, c.count())
	for i := range all {
		all[i] = string(trimCell(c.cell(i)))
	}
	return all
}

// appendCSV appends the cells as a line of CSV, without its end.
func (c *cells) appendCSV(to []byte) []byte {
	for i := range c.count() {
		if i > 0 {
			to = append(to, ',')
		}
		cell := c.cell(i)
		if bytes.ContainsAny(cell, "\",\r\n") {
			to = append(append(append(to, '"'), bytes.ReplaceAll(cell, []byte(`"`), []byte(`""`))...), '"')
		} else {
			to = append(to, cell...)
		}
	}
	return to
}

// trimCell removes white space of every kind, and characters without width, from both
// ends of a cell: people don't see them.
func trimCell(cell []byte) []byte {
	if n := len(cell); n > 0 && cell[0] > ' ' && cell[0] < 0x7f && cell[n-1] > ' ' && cell[n-1] < 0x7f {
		return cell
	}
	return bytes.TrimFunc(cell, invisible)
}

func invisible(r rune) bool {
	return unicode.IsSpace(r) || r == '\u200b' || r == '\u200c' || r == '\u200d' || r == '\u2060' || r == '\ufeff'
}

// cell returns the unquoted text of cell i. It is valid until the next read.
func (c *cells) cell(i int) []byte {
	if i == 0 {
		return c.text[:c.ends[0]]
	}
	return c.text[c.ends[i-1]:c.ends[i]]
}

// read parses the row that begins at from in the window, without dropping it, and
// returns where it ends; both count from the window's start. A fault costs the first
// line only: n is then that line's end, and parsing resumes after it. So an unclosed
// quote spoils one row, not everything up to the next quote.
//
// No line is scanned more than twice, whatever the file: a quote left open by one
// line is closed, correctly or not, by the next line with an odd number of quotes,
// and only such a line leaves one open.
func (c *cells) read(l *lines, from int) (n int, fault string, err error) {
	c.reset()
	first, err := l.next(from)
	if err != nil {
		return 0, "", err
	}
	n = first
	row := trimEnd(l.peek(n)[from:])
	for i := 0; ; i++ { // past the separator
		if i == len(row) || row[i] != '"' {
			end := bytes.IndexByte(row[i:], c.separator)
			if end < 0 {
				end = len(row) - i
			}
			cell := row[i : i+end]
			if bytes.IndexByte(cell, '"') >= 0 && c.separator != '\t' { // text with tabs is often written without quoting
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
					i, n = n-from, more
					row = trimEnd(l.peek(n)[from:])
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
		c.end()
		if i == len(row) {
			return n, "", nil
		}
	}
}
