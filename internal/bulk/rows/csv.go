package rows

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"verdict/internal/decision"
)

// column says which field a column's cells hold.
type column struct {
	field string // empty: the column is ignored
	name  []byte // field as the name of a JSON member, with its colon
}

// readHeader reads the header and finds the separator: the one by which most columns
// are fields.
func (r *Reader) readHeader(o *Options) error {
	for { // up to the first line that is not blank
		n, err := r.lines.next(0)
		if err == io.EOF {
			return nil // no header, no rows
		}
		if err != nil {
			return fmt.Errorf("read the header: %w", err)
		}
		if len(bytes.TrimSpace(r.lines.peek(n))) > 0 {
			break
		}
		r.lines.drop(n)
	}

	var length int
	var names []string
	known, problem := 0, ""
	for _, separator := range []byte{',', ';', '\t'} {
		c := cells{separator: separator}
		n, fault, err := c.read(r.lines)
		if err != nil {
			return fmt.Errorf("read the header: %w", err)
		}
		if fault != "" {
			problem = cmp.Or(problem, fault)
			continue
		}
		all := make([]string, c.count())
		count := 0
		for i := range all {
			all[i] = strings.TrimSpace(string(c.cell(i)))
			if fieldOf(all[i], o.Map) != "" {
				count++
			}
		}
		if count > known {
			known, length, names, r.cells = count, n, all, c
		}
	}
	if known == 0 {
		problem = cmp.Or(problem, "no column is a field of a decision; does the file begin with a header?")
		return fmt.Errorf("line %d: %s", r.lines.line, problem)
	}
	if err := r.setColumns(names, o); err != nil {
		return fmt.Errorf("line %d: %w", r.lines.line, err)
	}
	r.lines.drop(length)
	return nil
}

// setColumns finds the field of each column, and warns of columns that have none.
func (r *Reader) setColumns(names []string, o *Options) error {
	var faults []error
	for _, from := range sortedKeys(o.Map) {
		if !slices.Contains(names, from) {
			faults = append(faults, fmt.Errorf("map: the header has no column %q", from))
		}
	}
	var ignored []string
	columnOf := map[string]string{}
	r.columns = make([]column, len(names))
	for i, name := range names {
		field := fieldOf(name, o.Map)
		if field == "" {
			ignored = append(ignored, quote(name))
			continue
		}
		if other, twice := columnOf[field]; twice {
			faults = append(faults, fmt.Errorf("columns %q and %q both hold %s; rename or drop one", other, name, field))
		}
		columnOf[field] = name
		r.columns[i] = column{field: field, name: append(appendString(nil, field), ':')}
	}
	if len(ignored) > 0 {
		r.warnings = append(r.warnings, "ignored columns that are not fields of a decision: "+list(ignored))
	}
	return errors.Join(faults...)
}

// fieldOf returns the field that a column holds, or "". Case does not matter, since
// people and spreadsheets write headers in any case.
func fieldOf(name string, mapped map[string]string) string {
	if field, ok := mapped[name]; ok {
		return field
	}
	for _, field := range decision.Fields {
		if strings.EqualFold(name, field) {
			return field
		}
	}
	return ""
}

// nextCSV reads a row of CSV and returns it with its length.
func (r *Reader) nextCSV() (Row, int, error) {
	n, fault, err := r.cells.read(r.lines)
	if err != nil {
		return Row{}, 0, err
	}
	row := Row{Raw: trimEnd(r.lines.peek(n)), Fault: fault}
	if fault == "" && len(row.Raw) > 0 && r.cells.count() != len(r.columns) {
		row.Fault = fmt.Sprintf("the row has %d cells, but the header has %d", r.cells.count(), len(r.columns))
	}
	if row.Fault != "" {
		row.Value = slices.Clone(row.Raw)
	} else if len(row.Raw) > 0 {
		row.Value, row.Key = r.object()
	}
	return row, n, nil
}

// object returns the cells as a JSON object, and the key. An empty cell is an absent
// field.
func (r *Reader) object() (value, key []byte) {
	w := newWriter(len(r.cells.text) + 20*len(r.columns) + r.edit.growth())
	var has present
	for i, c := range r.columns {
		cell := r.cells.cell(i)
		if c.field == "" || len(cell) == 0 || r.edit.sets(c.field) {
			continue
		}
		w.member(c.name)
		w.cell(c.field, cell)
		has.note(c.field)
		if c.field == "profile_id" {
			key = cell
		}
	}
	return w.finish(&r.edit, key, has, r.number)
}
