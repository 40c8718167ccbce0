// Package backfill turns files into decisions: CSV and JSON Lines, plain or
// compressed, a row at a time and in bounded memory however long the file is. It
// also makes decisions up, for demonstrations. Whether a row is a decision is
// left to package decision, and sending it to whoever asked for the rows.
package backfill

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"verdict/internal/decision"
)

// Format is how a file holds its rows.
type Format string

// The formats. A file is told by its first character that is no white space: {
// begins JSON Lines.
const (
	DetectFormat Format = ""
	CSV          Format = "csv"
	JSONLines    Format = "jsonl"
)

// Options say how a file is read.
type Options struct {
	// Format of the file inside of its compression. Zero: found by content.
	Format Format
	// Map gives columns (of JSON Lines: members) the name of a decision's field:
	// from the name in the file to the field. Zero: every field by its own name.
	Map map[string]string
	// Set gives fields a value in every row, whatever the row has: from the field
	// to the value, as a CSV cell would have it; an empty value takes the field
	// away. Zero: none.
	Set map[string]string
	// BatchID is the batch_id of rows that have none, and the beginning of the id
	// of rows that have none: BatchID/Number. Zero: such rows stay without.
	BatchID string
	// Before is the number of rows in the files before this one, from which
	// Row.Number goes on. Zero: none.
	Before int64
	// Content is given every byte of the file, without its compression, as it is
	// read; an error of it is one of reading. Nil: nobody asks.
	Content io.Writer
}

var allFields = strings.Join(decision.Fields[:], ", ")

// Validate names every fault of the options.
func (o *Options) Validate() error {
	var faults []error
	if !slices.Contains([]Format{DetectFormat, CSV, JSONLines}, o.Format) {
		faults = append(faults, fmt.Errorf("format: must be %s or %s, is %q", CSV, JSONLines, o.Format))
	}
	for _, column := range sorted(o.Map) {
		if field := o.Map[column]; !isField(field) {
			faults = append(faults, fmt.Errorf("map: column %q: %q is no field of a decision; the fields are %s", column, field, allFields))
		}
	}
	for _, field := range sorted(o.Set) {
		if !isField(field) {
			faults = append(faults, fmt.Errorf("set: %q is no field of a decision; the fields are %s", field, allFields))
		}
	}
	return errors.Join(faults...)
}

// Row is one row of a file.
type Row struct {
	// Line is where the row begins, from 1, in the file without its compression.
	Line int
	// Number counts the rows, from 1, over all files.
	Number int64
	// Key is the Kafka key: the profile ID, in lower case if it is one, so that one
	// profile's decisions share a partition however their case; nil where the row
	// has none.
	Key []byte
	// Value is the row as it goes into the topic, broken or not: the JSON of a
	// line as it stands, or that of a CSV row's cells. It may be what is no decision.
	// Where Fault says that the row can't be taken apart it is Raw, unless that is
	// longer than MaxLine: then it is nil.
	Value []byte
	// Raw is the row as it stands in the file, without its line end; of a row longer
	// than MaxLine it is the beginning. Unlike Key and Value it is only good until
	// the next row is read.
	Raw []byte
	// Fault says why the row can't be taken apart; empty: it can.
	Fault string
}

// Record is the row as a record for this topic.
func (r *Row) Record(topic string) decision.Record {
	return decision.Record{Topic: topic, Key: r.Key, Value: r.Value}
}

// Decode is the row as the service will read it. An error is a *decision.Invalid.
// A decision without an ID of its own has none yet: it gets one in its topic.
func (r *Row) Decode() (decision.Decision, error) {
	if r.Fault != "" {
		return decision.Decision{}, &decision.Invalid{Faults: []decision.Fault{{Field: "value", Problem: r.Fault}}}
	}
	rec := r.Record("")
	d, err := decision.Decode(&rec)
	if !d.OwnID {
		d.ID = ""
	}
	return d, err
}

// Rows reads the rows of one file. It is for one goroutine.
type Rows struct {
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

// NewRows reads as much of a file as it takes to know its format, and the header
// if it is CSV. The caller closes the Rows, and after that r.
func NewRows(r io.Reader, o Options) (*Rows, error) {
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
	rows := &Rows{lines: newLines(plain), close: release, edit: newEdit(&o), format: o.Format, number: o.Before}
	if err := rows.begin(&o); err != nil {
		release()
		return nil, err
	}
	return rows, nil
}

// begin finds the format and, in CSV, reads the header.
func (r *Rows) begin(o *Options) error {
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
func (r *Rows) Format() Format { return r.format }

// Warnings are about the file as a whole, each one line: columns that are kept out
// and, of JSON Lines, members that were read so far and are no fields.
func (r *Rows) Warnings() []string {
	if len(r.edit.strange) == 0 {
		return r.warnings
	}
	return append(slices.Clip(r.warnings), "no fields of a decision, and ignored when it is carried out: members "+list(r.edit.strange))
}

// Unmapped is what Map names and no row had so far. Of CSV it is always empty:
// there the header must have every column.
func (r *Rows) Unmapped() []string {
	if r.format == CSV {
		return nil
	}
	return slices.DeleteFunc(sorted(r.edit.renamed), func(name string) bool { return r.edit.used[name] })
}

// Close lets go of what decompressing holds.
func (r *Rows) Close() { r.close() }

// Next is the next row, a broken one too; at the end it is io.EOF. Any other error
// means that the file can't be read on, and comes again if asked again.
func (r *Rows) Next() (Row, error) {
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
func (r *Rows) next() (Row, int, error) {
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

// json reads a line of JSON Lines and its length.
func (r *Rows) json() (Row, int, error) {
	n, err := r.lines.next(0)
	if err != nil {
		return Row{}, 0, err
	}
	row := Row{Raw: trimEnd(r.lines.peek(n))}
	row.Value, row.Key = r.edit.line(row.Raw, r.number)
	return row, n, nil
}
