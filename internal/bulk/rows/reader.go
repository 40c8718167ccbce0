package rows

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Reader reads the rows of one file. It is for one goroutine.
type Reader struct {
	lines    *lines // nil for a workbook
	sheet    *sheet // nil for text
	close    func()
	edit     edit
	format   Format
	cells    cells                 // the current row; not of JSON
	columns  []column              // not of JSON
	columnOf map[string]columnName // by field; not of JSON
	unused   []columnName          // columns without a field
	warnings []string
	hints    []string
	number   int64 // of the last row
	blank    int64 // rows whose cells are all empty, so far
	objects  int   // of JSON values, so far
	content  bool  // the file has more than white space
	tooLong  bool  // the last row was too long, and was not skipped yet
	err      error // how reading ended
}

// randomAccess is what zip archives and workbooks are read from: their index is at
// the end.
type randomAccess interface {
	io.ReaderAt
	Size() int64
}

// NewReader returns a Reader of r. It reads the start of the file to detect its format,
// and the header of CSV. Zip archives and workbooks can be read if r is an io.ReaderAt
// with a Size, such as an *io.SectionReader. The caller closes the Reader, then r.
func NewReader(r io.Reader, o Options) (*Reader, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	reader := &Reader{edit: newEdit(&o), format: o.Format, number: o.Before, close: func() {}}
	if err := reader.open(r, &o); err != nil {
		reader.close()
		return nil, err
	}
	return reader, nil
}

// open finds out what the file is, and reads the header.
func (r *Reader) open(from io.Reader, o *Options) error {
	if file, ok := from.(randomAccess); ok {
		if err := oleFault(file); err != nil {
			return err
		}
		archive, err := openArchive(file)
		if err != nil {
			return err
		}
		if archive != nil && archive.isWorkbook() {
			return r.openWorkbook(archive, o)
		}
		if archive != nil {
			member, err := archive.only()
			if err != nil {
				return err
			}
			r.close = func() { member.Close() }
			from = member
		}
	}
	if o.Sheet != "" {
		return fmt.Errorf("--sheet %s: the file is not a workbook (.xlsx), so it has no sheets; leave out --sheet", o.Sheet)
	}
	plain, release, err := decompress(from)
	if err != nil {
		return err
	}
	member := r.close
	r.close = func() { release(); member() }
	if o.Content != nil {
		plain = io.TeeReader(plain, o.Content)
	}
	return r.openText(plain, o)
}

// openText finds the encoding, the line ends and the format.
func (r *Reader) openText(plain io.Reader, o *Options) error {
	buffered := bufio.NewReaderSize(plain, 64<<10)
	if head, err := buffered.Peek(sniffed); len(head) > 0 {
		if err := foreignFault(head); err != nil {
			return err
		}
	} else if err != io.EOF {
		return fmt.Errorf("read the first line: %w", err)
	}
	text, err := textReader(buffered, o.Encoding)
	if err != nil {
		return err
	}
	r.lines = newLines(text)
	r.lines.findLineEnd()
	head, err := r.lines.head()
	if err != nil {
		return fmt.Errorf("read the first line: %w", err)
	}
	r.content = len(head) > 0
	if r.format == DetectFormat {
		r.format = r.lines.detect(head)
	}
	switch r.format {
	case CSV:
		return r.readHeader(o)
	case jsonArray:
		r.lines.begin('[')
	case DetectFormat, JSONLines, jsonObjects, workbook:
	}
	return nil
}

// unit is what a row's number counts, for messages.
func (r *Reader) unit() string {
	switch r.format {
	case workbook:
		return "row"
	case jsonArray, jsonObjects:
		return "object"
	case DetectFormat, CSV, JSONLines:
	}
	return "line"
}

// Warnings returns what is worth knowing about the file as a whole, one line each:
// what is above the header, columns that are not used, and of the rows read so far,
// the blank ones, what Set replaced, and members that are not used.
func (r *Reader) Warnings() []string {
	all := slices.Clone(r.warnings)
	if len(r.edit.unknown) > 0 {
		all = append(all, "ignored members that are not fields of a decision: "+list(quoteAll(r.edit.unknown)))
	}
	if r.blank > 0 {
		all = append(all, fmt.Sprintf("passed over rows whose cells are all empty: %d", r.blank))
	}
	if r.sheet != nil && r.sheet.hidden > 0 {
		all = append(all, fmt.Sprintf("rows that are hidden in the sheet, by a filter for example, were read like the others: %d", r.sheet.hidden))
	}
	return all
}

// Hints returns what could be done about faults of the rows read so far, one line each,
// each with the flag that would do it.
func (r *Reader) Hints() []string {
	all := slices.Clone(r.hints)
	for _, name := range r.edit.unknown {
		if field := fieldBySimplified[simplified(name)]; field != "" {
			all = append(all, fmt.Sprintf("the member %s looks like %s; if it is, add --map %s", quote(name), field, shellQuote(name+"="+field)))
		}
	}
	return append(all, r.proposals()...)
}

// unmapped returns the names in Map that no row had so far. It returns none where there
// is a header, since NewReader requires it to have every column.
func (r *Reader) unmapped() []string {
	if r.columns != nil {
		return nil
	}
	return slices.DeleteFunc(sortedKeys(r.edit.renames), func(name string) bool { return r.edit.renamed[name] })
}

// cellOf says where the cell of a field is, for a message; empty where the field's own
// name says it.
func (r *Reader) cellOf(field string, line int) string {
	c, ok := r.columnOf[field]
	switch {
	case !ok:
		return ""
	case r.format == workbook && strings.EqualFold(c.name, field):
		return fmt.Sprintf(" (cell %s%d)", columnLetter(c.index), line)
	case r.format == workbook:
		return fmt.Sprintf(" (cell %s%d, %s)", columnLetter(c.index), line, quote(c.name))
	case strings.EqualFold(c.name, field):
		return ""
	}
	return fmt.Sprintf(" (column %s, %s)", columnLetter(c.index), quote(c.name))
}

// Close releases what reading took.
func (r *Reader) Close() { r.close() }

// Next returns the next row, valid or not, and io.EOF after the last. Any other error
// means that the rest can't be read; further calls return the same error.
func (r *Reader) Next() (Row, error) {
	for r.err == nil {
		r.number++
		row, n, err := r.next()
		if row.Line == 0 && r.lines != nil {
			row.Line = r.lines.line
		}
		row.Number = r.number
		switch {
		case err == errTooLong:
			r.tooLong = true
			row.Raw = r.lines.peek(MaxLine)
			row.Fault = fmt.Sprintf("the line is longer than %d bytes", MaxLine)
			return row, nil
		case err == io.EOF:
			r.err = err
		case err != nil:
			r.err = fmt.Errorf("read %s %d: %w", r.unit(), row.Line, err)
		default:
			if r.format == CSV || r.format == JSONLines {
				r.lines.drop(n)
			}
			if row.Blank {
				r.blank++
			}
			if len(bytes.TrimSpace(row.Raw)) > 0 { // a blank line is not a row
				return row, nil
			}
		}
		r.number--
	}
	return Row{}, r.err
}

// next reads a row and returns it with its length.
func (r *Reader) next() (Row, int, error) {
	if r.tooLong {
		r.tooLong = false
		if err := r.lines.skip(); err != nil {
			return Row{}, 0, err
		}
	}
	switch r.format {
	case CSV:
		return r.nextCSV()
	case workbook:
		row, err := r.nextOfSheet()
		return row, 0, err
	case jsonArray, jsonObjects:
		row, err := r.nextObject()
		return row, 0, err
	case DetectFormat, JSONLines:
	}
	return r.nextJSON()
}
