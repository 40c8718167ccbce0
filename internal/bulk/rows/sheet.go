package rows

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

const (
	// maxSheetRow bounds a row of a sheet with its markup, and what stands between rows,
	// in bytes.
	maxSheetRow = 8 << 20
	// maxSheetRows and maxSheetColumns are Excel's own limits.
	maxSheetRows    = 1 << 20
	maxSheetColumns = 1 << 14
)

// sheet reads the rows of a workbook's sheet, one at a time.
type sheet struct {
	part     *xmlPart
	file     io.Closer
	strings  *sharedStrings
	dates    []bool // by style, whether it shows a date
	from1904 bool
	content  io.Writer // receives the rows; nil: not wanted
	hidden   int64     // rows that are not shown

	row    int        // number of the last row
	queue  []sheetRow // read ahead to find the header
	inRows bool
	ended  bool
}

// sheetRow is a row of a sheet.
type sheetRow struct {
	number int
	cells  cells
	raw    []byte // as CSV
	fault  string
	at     int // the column of the fault
}

func (s *sheet) close() {
	if s.file != nil {
		s.file.Close()
	}
	s.strings.close()
}

// readSheetHeader finds the header of the sheet.
func (r *Reader) readSheetHeader(o *Options) error {
	var sample []candidate
	for len(sample) <= maxTitles {
		row, err := r.sheet.next(cells{})
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		r.sheet.queue = append(r.sheet.queue, row)
		sample = append(sample, candidate{cells: row.cells.strings(), line: row.number})
	}
	at, _ := findHeader(sample, o)
	r.content = len(sample) > 0
	if at < 0 {
		r.sheet.queue = nil
		return r.noHeader(sample)
	}
	r.sheet.queue = r.sheet.queue[at+1:]
	return r.useHeader(sample, at, o)
}

// nextOfSheet reads a row of the sheet.
func (r *Reader) nextOfSheet() (Row, error) {
	for {
		var next sheetRow
		if s := r.sheet; len(s.queue) > 0 {
			next, s.queue = s.queue[0], s.queue[1:]
		} else {
			var err error
			if next, err = s.next(r.cells); err != nil {
				return Row{Line: s.row + 1}, err
			}
		}
		if r.cells = next.cells; r.cells.blank(0) && next.fault == "" {
			continue // a row that was formatted, say, but never filled in
		}
		row := Row{Line: next.number, Raw: next.raw}
		if next.fault != "" && next.at < len(r.columns) && r.columns[next.at].field != "" {
			row.Fault = next.fault
		}
		r.fill(&row)
		return row, nil
	}
}

// next reads the next row that the sheet has, into the memory of c.
func (s *sheet) next(c cells) (sheetRow, error) {
	for {
		if s.ended || s.part == nil {
			return sheetRow{}, io.EOF
		}
		token, err := s.part.next()
		if err == io.EOF {
			s.ended = true
			continue
		}
		if err != nil {
			return sheetRow{}, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			switch {
			case t.Name.Local == "sheetData":
				s.inRows = true
			case s.inRows && t.Name.Local == "row":
				return s.readRow(&t, c)
			}
		case xml.EndElement:
			s.ended = s.ended || t.Name.Local == "sheetData"
		}
	}
}

// readRow reads the rest of a row that began.
func (s *sheet) readRow(start *xml.StartElement, c cells) (sheetRow, error) {
	s.part.reset()
	c.reset()
	number := s.row + 1
	if r := attribute(start, "r"); r != "" {
		n, err := strconv.Atoi(r)
		if err != nil || n < number || n > maxSheetRows {
			return sheetRow{}, fmt.Errorf("the workbook is damaged: row %s comes after row %d", quote(r), s.row)
		}
		number = n
	}
	s.row = number
	row := sheetRow{number: number}
	for {
		token, err := s.part.next()
		if err != nil {
			return row, cut(err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if t.Name.Local != "c" {
				continue
			}
			index, err := columnIndex(attribute(&t, "r"), c.count())
			if err != nil {
				return row, err
			}
			for c.count() < index {
				c.end()
			}
			fault, err := s.readCell(&t, &c)
			if err != nil {
				return row, err
			}
			if fault != "" && row.fault == "" {
				row.at = index
				row.fault = fmt.Sprintf("cell %s%d: %s", columnLetter(index), number, fault)
			}
			c.end()
		case xml.EndElement:
			if t.Name.Local != "row" {
				continue
			}
			for n := c.count(); n > 0 && len(c.cell(n-1)) == 0; n-- {
				c.ends = c.ends[:n-1]
			}
			if h := attribute(start, "hidden"); (h == "1" || h == "true") && !c.blank(0) {
				s.hidden++
			}
			row.cells, row.raw = c, c.appendCSV(nil)
			return row, s.hash(&row)
		}
	}
}

// hash writes a row to content: the content of a sheet is what its rows say, however
// the workbook was saved.
func (s *sheet) hash(row *sheetRow) error {
	if s.content == nil || row.cells.blank(0) && row.fault == "" {
		return nil
	}
	_, err := fmt.Fprintf(s.content, "%d:%s%s\n", row.number, row.raw, row.fault)
	return err
}

// readCell appends the text of a cell that began.
func (s *sheet) readCell(start *xml.StartElement, c *cells) (fault string, err error) {
	kind := attribute(start, "t")
	from := len(c.text)
	formula, value := false, false
	var inline textElement
	for depth := 1; depth > 0; {
		token, err := s.part.next()
		if err != nil {
			return "", cut(err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			depth++
			if depth == 2 {
				formula = formula || t.Name.Local == "f"
				value = t.Name.Local == "v"
			}
		case xml.EndElement:
			depth--
		case xml.CharData:
			if value && depth == 2 {
				c.text = append(c.text, t...)
			}
		}
		if kind == "inlineStr" {
			inline.token(token)
		}
	}
	if kind == "inlineStr" {
		c.text = append(c.text[:from], inline.text...)
		return "", nil
	}
	text := string(c.text[from:])
	if text == "" {
		if formula && kind != "str" {
			return "it has a formula, but not its result; open the workbook in a spreadsheet program, save it there and submit it again", nil
		}
		return "", nil
	}
	switch kind {
	case "s":
		i, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		if err != nil {
			return "", fmt.Errorf("the workbook is damaged: a cell refers to text %s", quote(text))
		}
		shared, err := s.strings.get(i)
		if err != nil {
			return "", err
		}
		c.text = append(c.text[:from], shared...)
		if len(c.text) > MaxLine {
			return "", fmt.Errorf("row %d is longer than %d bytes", s.row, MaxLine)
		}
	case "b":
		c.text = append(c.text[:from], map[bool]string{true: "TRUE", false: "FALSE"}[text == "1"]...)
	case "", "n":
		c.text = append(c.text[:from], s.number(text, attribute(start, "s"))...)
	}
	return "", nil
}

// number returns a number as the sheet shows it, as far as it could be part of a
// decision: a date, or an integer in full.
func (s *sheet) number(text, style string) string {
	if i, err := strconv.Atoi(style); err == nil && i >= 0 && i < len(s.dates) && s.dates[i] {
		return dateText(text, s.from1904)
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && f == math.Trunc(f) && math.Abs(f) < 1e15 {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return text
}

// columnIndex returns the index of a cell's column by its reference, such as C5; a cell
// without one is the next.
func columnIndex(reference string, next int) (int, error) {
	if reference == "" {
		return next, limitColumn(next, reference)
	}
	n := 0
	for i := range len(reference) {
		c := reference[i] | 0x20
		if c < 'a' || c > 'z' || n > maxSheetColumns {
			break
		}
		n = 26*n + int(c-'a') + 1
	}
	if n == 0 || n-1 < next {
		return 0, fmt.Errorf("the workbook is damaged: there is a cell %s where column %s should be", quote(reference), columnLetter(next))
	}
	return n - 1, limitColumn(n-1, reference)
}

func limitColumn(i int, reference string) error {
	if i >= maxSheetColumns {
		return fmt.Errorf("the workbook is damaged: cell %s is beyond the last column", quote(reference))
	}
	return nil
}

// cut returns an error that was met within a row.
func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
