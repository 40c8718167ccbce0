package rows

import (
	"fmt"
	"slices"
)

// nextCSV reads a row of CSV and returns it with its length.
func (r *Reader) nextCSV() (Row, int, error) {
	n, fault, err := r.cells.read(r.lines, 0)
	if err != nil {
		return Row{}, 0, err
	}
	row := Row{Raw: trimEnd(r.lines.peek(n)), Fault: fault}
	if len(row.Raw) > 0 {
		row.Line = r.lines.line
		r.fill(&row)
	}
	return row, n, nil
}

// fill makes the value of a row from its cells, or its fault.
func (r *Reader) fill(row *Row) {
	row.reader = r
	if row.Fault == "" {
		if row.Blank = r.cells.blank(0); row.Blank {
			row.Value = slices.Clone(row.Raw)
			return
		}
		row.Fault = r.widthFault()
	}
	if row.Fault != "" {
		row.Value = slices.Clone(row.Raw)
		return
	}
	var used bool
	if row.Value, row.Key, used = r.object(row.Line); !used {
		row.Fault = r.unusedFault()
		row.Value, row.Key = slices.Clone(row.Raw), nil
	}
}

// widthFault returns the fault of a row that has more or fewer cells than the header.
// Empty cells more are no fault, nor are missing ones of columns that are not used:
// spreadsheets add the ones and leave out the others.
func (r *Reader) widthFault() string {
	have, want := r.cells.count(), len(r.columns)
	if have < want && r.format == workbook { // a sheet has no empty cells
		return ""
	}
	if have > want && r.cells.blank(want) ||
		have < want && !slices.ContainsFunc(r.columns[have:], func(c column) bool { return c.field != "" }) {
		return ""
	}
	if have == want {
		return ""
	}
	return fmt.Sprintf("the row has %d cells, but the header has %d", have, want)
}

// unusedFault returns the fault of a row that has nothing in any column that is used,
// such as a line of totals.
func (r *Reader) unusedFault() string {
	for i := range r.cells.count() {
		if cell := trimCell(r.cells.cell(i)); len(cell) > 0 {
			return fmt.Sprintf("no column that holds a field has a value, and column %s has %s; is it a total or a note? delete the row, or leave it out with --skip-invalid",
				columnLetter(i), quote(string(cell)))
		}
	}
	return ""
}

// object returns the cells as a JSON object, the key, and whether a field has a value.
// An empty cell is an absent field.
func (r *Reader) object(line int) (value, key []byte, used bool) {
	w := newWriter(len(r.cells.text) + 20*len(r.columns) + r.edit.growth())
	var has present
	for i := range min(len(r.columns), r.cells.count()) {
		c := &r.columns[i]
		if c.field == "" {
			continue
		}
		cell := trimCell(r.cells.cell(i))
		if len(cell) == 0 || r.cells.separator == '\t' && string(cell) == `\N` { // NULL, as PostgreSQL's COPY writes it
			continue
		}
		used = true
		if r.edit.sets(c.field) {
			r.edit.noteReplaced(c.field, cell, line)
			continue
		}
		switch c.field {
		case "profile_id":
			cell = bareID(cell)
			key = cell
		case "task_id":
			cell = bareID(cell)
		case "state":
			cell = r.edit.state(cell)
		case "is_complete":
			r.edit.noteComplete(cell)
		}
		w.member(c.name)
		w.cell(c.field, cell)
		has.note(c.field)
	}
	value, key = w.finish(&r.edit, key, has, r.number)
	return value, key, used
}
