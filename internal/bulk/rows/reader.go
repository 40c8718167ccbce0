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
	cells    cells    // CSV only
	columns  []column // CSV only
	warnings []string
	number   int64 // of the last row
	tooLong  bool  // the last row was too long, and was not skipped yet
	err      error // how reading ended
}

// NewReader returns a Reader of r. It reads the start of the file to detect its format,
// and the header of CSV. The caller closes the Reader, then r.
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
	reader := &Reader{lines: newLines(plain), close: release, edit: newEdit(&o), format: o.Format, number: o.Before}
	if err := reader.begin(&o); err != nil {
		release()
		return nil, err
	}
	return reader, nil
}

// begin finds the format and reads the header of CSV.
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
		return r.readHeader(o)
	}
	return nil
}

// Warnings returns what is worth knowing about the file as a whole, one line each:
// ignored columns and, for JSON Lines, ignored members of the rows read so far.
func (r *Reader) Warnings() []string {
	if len(r.edit.unknown) == 0 {
		return r.warnings
	}
	return append(slices.Clip(r.warnings), "ignored members that are not fields of a decision: "+list(r.edit.unknown))
}

// unmapped returns the names in Map that no row had so far. It returns none for CSV,
// where NewReader requires the header to have every column.
func (r *Reader) unmapped() []string {
	if r.format == CSV {
		return nil
	}
	return slices.DeleteFunc(sortedKeys(r.edit.renames), func(name string) bool { return r.edit.renamed[name] })
}

// Close releases the decompressor.
func (r *Reader) Close() { r.close() }

// Next returns the next row, valid or not, and io.EOF after the last. Any other error
// means that the rest can't be read; further calls return the same error.
func (r *Reader) Next() (Row, error) {
	for r.err == nil {
		r.number++
		row, n, err := r.next()
		row.Line, row.Number = r.lines.line, r.number
		switch {
		case err == errTooLong:
			r.tooLong = true
			row.Raw = r.lines.peek(MaxLine)
			row.Fault = fmt.Sprintf("the line is longer than %d bytes", MaxLine)
			return row, nil
		case err == io.EOF:
			r.err = err
		case err != nil:
			r.err = fmt.Errorf("read line %d: %w", row.Line, err)
		default:
			r.lines.drop(n)
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
	if r.format == CSV {
		return r.nextCSV()
	}
	return r.nextJSON()
}
