package rows

import (
	"bytes"
	"fmt"
	"io"
	"slices"
)

// Reader reads the rows of one file. It is for one goroutine.
type Reader struct {
	lines    *lines
	close    func()
	edit     edit
	format   Format
	cells    cells // CSV
	columns  []column
	warnings []string
	number   int64 // of the row given last
	tooLong  bool  // the row given last was too long, and is still to be skipped
	err      error // how the rows ended
}

// NewReader reads as much of a file as it takes to know its format, and the header
// if it is CSV. The caller closes the Rows, and after that r.
func NewReader(r io.Reader, o Options) (*Reader, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	plain, release, err := decompress(r)
	if err != nil {
		return nil, err
	}
	if o.Content != nil {
		plain = io.TeeReader(plain, o.Content)
	}
	rows := &Reader{lines: newLines(plain), close: release, edit: newEdit(&o), format: o.Format, number: o.Before}
	if err := rows.begin(&o); err != nil {
		release()
		return nil, err
	}
	return rows, nil
}

// begin finds the format and, in CSV, reads the header.
func (r *Reader) begin(o *Options) error {
	head, err := r.lines.head()
	if err != nil {
		return fmt.Errorf("read the first line: %w", err)
	}
	if r.format == DetectFormat {
		if r.format, err = detect(head); err != nil {
			return err
		}
	}
	if r.format == CSV {
		return r.header(o)
	}
	return nil
}

// Format is the file's format.
func (r *Reader) Format() Format { return r.format }

// Warnings are about the file as a whole, each one line: columns that are kept out
// and, of JSON Lines, members that were read so far and are no fields.
func (r *Reader) Warnings() []string {
	if len(r.edit.strange) == 0 {
		return r.warnings
	}
	return append(slices.Clip(r.warnings), "no fields of a decision, and ignored when it is carried out: members "+list(r.edit.strange))
}

// Unmapped is what Map names and no row had so far. Of CSV it is always empty:
// there the header must have every column.
func (r *Reader) Unmapped() []string {
	if r.format == CSV {
		return nil
	}
	return slices.DeleteFunc(sorted(r.edit.renamed), func(name string) bool { return r.edit.used[name] })
}

// Close lets go of what decompressing holds.
func (r *Reader) Close() { r.close() }

// Next is the next row, a broken one too; at the end it is io.EOF. Any other error
// means that the file can't be read on, and comes again if asked again.
func (r *Reader) Next() (Row, error) {
	for r.err == nil {
		r.number++
		row, n, err := r.next()
		row.Line, row.Number = r.lines.line, r.number
		switch {
		case err == errTooLong:
			r.tooLong = true
			row.Raw = r.lines.peek(MaxLine)
			row.Fault = fmt.Sprintf("the line has more than %d bytes", MaxLine)
			return row, nil
		case err == io.EOF:
			r.err = err
		case err != nil:
			r.err = fmt.Errorf("read line %d: %w", row.Line, err)
		default:
			r.lines.drop(n)
			if len(bytes.TrimSpace(row.Raw)) > 0 { // an empty line is no row
				return row, nil
			}
		}
		r.number--
	}
	return Row{}, r.err
}

// next reads a row and its length.
func (r *Reader) next() (Row, int, error) {
	if r.tooLong {
		r.tooLong = false
		if err := r.lines.skip(); err != nil {
			return Row{}, 0, err
		}
	}
	if r.format == CSV {
		return r.csv()
	}
	return r.json()
}
