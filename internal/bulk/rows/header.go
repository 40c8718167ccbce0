package rows

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"verdict/internal/decision"
)

const (
	// maxTitles is the number of rows that may stand above the header.
	maxTitles = 25
	// maxSample bounds what is read ahead to find the header, in bytes.
	maxSample = 256 << 10
)

// separators are what can stand between the cells of CSV, the likeliest first.
var separators = []byte{',', ';', '\t', '|'}

// candidate is a row near the start of a file that may be its header.
type candidate struct {
	cells []string // trimmed
	start int      // where it begins in the window of lines
	end   int      // and ends
	line  int
	fault string
}

func (c *candidate) blank() bool {
	return c.fault == "" && !slices.ContainsFunc(c.cells, func(s string) bool { return s != "" })
}

// hasID reports whether a cell is an ID of the API's, as no header or title has.
func (c *candidate) hasID() bool {
	return slices.ContainsFunc(c.cells, func(s string) bool { return decision.ValidID(string(bareID([]byte(s)))) })
}

// findHeader returns the index of the header among the first rows of a file, or -1: the
// first row that has the most fields. A row below others must have two, since a title
// may have a word such as "state" by chance.
func findHeader(sample []candidate, o *Options) (at, fields int) {
	at = -1
	above := 0
	for i := range sample {
		if sample[i].blank() {
			continue
		}
		if n := countFields(sample[i].cells, o.Map); n > fields && (above == 0 || n > 1) {
			at, fields = i, n
		}
		above++
	}
	return at, fields
}

// readHeader finds the separator and the header of CSV, and drops what is above.
func (r *Reader) readHeader(o *Options) error {
	if err := r.readSeparatorLine(); err != nil {
		return err
	}
	choices := separators
	if r.cells.separator != 0 {
		choices = []byte{r.cells.separator}
	}
	var sample, first []candidate
	at, fields := -1, 0
	for _, separator := range choices {
		candidates, err := r.sample(separator)
		if err != nil {
			return err
		}
		if first == nil || widest(candidates) > widest(first) {
			first = candidates
		}
		if i, n := findHeader(candidates, o); n > fields || n == fields && i >= 0 && i < at {
			sample, at, fields, r.cells.separator = candidates, i, n, separator
		}
	}
	if at < 0 {
		return r.noHeader(first)
	}
	if err := r.useHeader(sample, at, o); err != nil {
		return err
	}
	r.lines.drop(sample[at].end)
	return nil
}

// useHeader sets the columns by the header in a sample, and reports the rows above it.
func (r *Reader) useHeader(sample []candidate, at int, o *Options) error {
	var titles []string
	for _, c := range sample[:at] {
		if c.hasID() {
			return fmt.Errorf("%s %d has IDs, but the header is below it, in %s %d; move the header to the top", r.unit(), c.line, r.unit(), sample[at].line)
		}
		if text := strings.Join(slices.DeleteFunc(slices.Clone(c.cells), func(s string) bool { return s == "" }), " "); text != "" {
			titles = append(titles, quote(text))
		}
	}
	if err := r.setColumns(sample[at].cells, o); err != nil {
		return fmt.Errorf("%s %d: %w", r.unit(), sample[at].line, err)
	}
	if len(titles) > 0 {
		r.warnings = append(r.warnings, fmt.Sprintf("the header is in %s %d; passed over what is above it: %s", r.unit(), sample[at].line, list(titles)))
	}
	if ignored := namesOf(r.unused); len(ignored) > 0 {
		r.warnings = append(r.warnings, "ignored columns that are not fields of a decision: "+list(ignored))
	}
	r.hints = r.missingColumns(o)
	return nil
}

func widest(sample []candidate) int {
	n := 0
	for i := range sample {
		n = max(n, len(sample[i].cells))
	}
	return n
}

// readSeparatorLine reads the line by which Excel is told the separator: sep=;
func (r *Reader) readSeparatorLine() error {
	n, err := r.lines.next(0)
	if err == io.EOF || err == errTooLong {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the header: %w", err)
	}
	line := bytes.Trim(trimEnd(r.lines.peek(n)), `" `)
	if len(line) < 4 || !strings.EqualFold(string(line[:4]), "sep=") {
		return nil
	}
	// The separator itself follows the line where a program wrote it as a cell of a
	// table, and a tab may be trimmed with the line.
	separator := byte('\t')
	if len(line) > 4 {
		separator = line[4]
	}
	if c := separator; c == '"' || c > 0x7e || c != '\t' && c <= ' ' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' {
		return fmt.Errorf("line %d: %s names no separator between cells that Verdict can read; use a comma, a semicolon, a tab or |", r.lines.line, quote(string(line)))
	}
	r.cells.separator = separator
	r.lines.drop(n)
	return nil
}

// sample returns the first rows of the file, read with a separator.
func (r *Reader) sample(separator byte) ([]candidate, error) {
	var all []candidate
	c := cells{separator: separator}
	for from := 0; len(all) <= maxTitles && from < maxSample; {
		line := r.lines.line + bytes.Count(r.lines.peek(from), []byte{'\n'})
		n, fault, err := c.read(r.lines, from)
		if err == io.EOF || err == errTooLong && len(all) > 0 {
			break
		}
		if err != nil && len(all) > 0 {
			break // it is met again when the rows are read
		}
		if err != nil {
			return nil, fmt.Errorf("read the header: %w", err)
		}
		if row := (candidate{cells: c.strings(), start: from, end: n, line: line, fault: fault}); fault != "" || !row.blank() {
			if fault != "" {
				row.cells = nil
			}
			all = append(all, row)
		}
		from = n
	}
	return all, nil
}

// noHeader returns the error for a file without a header; nil for one without rows.
func (r *Reader) noHeader(sample []candidate) error {
	i := slices.IndexFunc(sample, func(c candidate) bool { return !c.blank() })
	if i < 0 {
		return nil
	}
	first := &sample[i]
	where := fmt.Sprintf("%s %d", r.unit(), first.line)
	if first.fault != "" {
		return fmt.Errorf("%s: %s", where, first.fault)
	}
	if first.hasID() {
		return fmt.Errorf("%s: it has IDs, so the file has no header; add a first line that names the columns, such as profile_id,task_id,state", where)
	}
	names := slices.DeleteFunc(slices.Clone(first.cells), func(s string) bool { return s == "" })
	if bad := notUTF8([]byte(strings.Join(names, " "))); bad != "" {
		return fmt.Errorf("%s: %s", where, bad)
	}
	example := func(field string) string {
		for _, word := range likely[field] {
			for _, name := range names {
				if strings.Contains(simplified(name), word) {
					return name
				}
			}
		}
		return cmp.Or(map[string]string{"profile_id": "COLUMN1", "task_id": "COLUMN2", "state": "COLUMN3"}[field])
	}
	var maps []string
	for _, field := range []string{"profile_id", "task_id", "state"} {
		maps = append(maps, "--map "+shellQuote(example(field)+"="+field))
	}
	return fmt.Errorf("%s: no column is a field of a decision (profile_id, task_id, state …); the columns are %s; if this is the header, say what they hold, such as %s",
		where, list(quoteAll(names)), strings.Join(maps, " "))
}
