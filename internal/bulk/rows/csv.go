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

// column is what becomes of a column's cells.
type column struct {
	field string // empty: kept out
	name  []byte // field as a member's name, with its colon
}

// header reads the header and with it the separator: the one by which the most
// columns are known.
func (r *Reader) header(o *Options) error {
	for { // up to the first line that is not empty
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
		problem = cmp.Or(problem, "it names none of a decision's fields; is there a header?")
		return fmt.Errorf("line %d: %s", r.lines.line, problem)
	}
	if err := r.name(names, o); err != nil {
		return fmt.Errorf("line %d: %w", r.lines.line, err)
	}
	r.lines.drop(length)
	return nil
}

// name says for each column what becomes of it, and warns of those kept out.
func (r *Reader) name(names []string, o *Options) error {
	var faults []error
	for _, from := range sorted(o.Map) {
		if !slices.Contains(names, from) {
			faults = append(faults, fmt.Errorf("map: there is no column %q", from))
		}
	}
	var out []string
	given := map[string]string{}
	r.columns = make([]column, len(names))
	for i, name := range names {
		field := fieldOf(name, o.Map)
		if field == "" {
			out = append(out, short(name))
			continue
		}
		if other, twice := given[field]; twice {
			faults = append(faults, fmt.Errorf("columns %q and %q are both %s", other, name, field))
		}
		given[field] = name
		r.columns[i] = column{field: field, name: append(appendString(nil, field), ':')}
	}
	if len(out) > 0 {
		r.warnings = append(r.warnings, "kept out, since they are no fields of a decision: columns "+list(out))
	}
	return errors.Join(faults...)
}

// fieldOf is the field that a column holds; empty: none. People and spreadsheets
// write a header's names in any case.
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

// csv reads a row of CSV and its length.
func (r *Reader) csv() (Row, int, error) {
	n, fault, err := r.cells.read(r.lines)
	if err != nil {
		return Row{}, 0, err
	}
	row := Row{Raw: trimEnd(r.lines.peek(n)), Fault: fault}
	if fault == "" && len(row.Raw) > 0 && r.cells.count() != len(r.columns) {
		row.Fault = fmt.Sprintf("the number of cells is %d, that of the header's is %d", r.cells.count(), len(r.columns))
	}
	if row.Fault != "" {
		row.Value = slices.Clone(row.Raw)
	} else if len(row.Raw) > 0 {
		row.Value, row.Key = r.object()
	}
	return row, n, nil
}

// object is the cells as JSON, and the key. An empty cell is an absent field.
func (r *Reader) object() (value, key []byte) {
	w := newWriter(len(r.cells.text) + 20*len(r.columns) + r.edit.room())
	var has own
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
