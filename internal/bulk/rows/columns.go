package rows

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"verdict/internal/decision"
)

// column says which field a column's cells hold.
type column struct {
	field string // empty: the column is not used
	name  []byte // field as the name of a JSON member, with its colon
}

// columnName is a column of the header, for messages.
type columnName struct {
	index int
	name  string // as the file has it
}

// String returns the name and the letter that a spreadsheet gives the column.
func (c columnName) String() string {
	return fmt.Sprintf("%s (column %s)", quote(c.name), columnLetter(c.index))
}

// columnLetter returns A, B, … Z, AA for an index from 0.
func columnLetter(i int) string {
	s := ""
	for i++; i > 0; i = (i - 1) / 26 {
		s = string(rune('A'+(i-1)%26)) + s
	}
	return s
}

// simplified returns a name without what people write in different ways: case,
// spaces, underscores, hyphens, and characters that can't be seen.
func simplified(name string) string {
	return strings.Map(func(r rune) rune {
		if invisible(r) || r == '_' || r == '-' {
			return -1
		}
		return r
	}, strings.ToLower(name))
}

// fieldBySimplified are the names by which a field is recognised.
var fieldBySimplified = func() map[string]string {
	// Names that can't mean anything else. "Outcome", "Status" or "Customer" are not
	// among them: they are proposed, not taken.
	m := map[string]string{"profileuuid": "profile_id", "taskuuid": "task_id", "taskstate": "state", "decisionid": "id"}
	for _, field := range decision.Fields {
		m[simplified(field)] = field
	}
	return m
}()

// assignment says what a column of the header is taken for.
type assignment struct {
	field    string // empty: not used
	isMapped bool
	key      string // of Map, if mapped
}

// assign returns what each column is taken for: what Map says of its exact name, or of
// its name in another spelling if no column has the exact one, or else the field whose
// name it has in any spelling.
func assign(names []string, byName map[string]string) []assignment {
	all := make([]assignment, len(names))
	for i, name := range names {
		all[i].field = fieldBySimplified[simplified(name)]
	}
	for _, key := range sortedKeys(byName) {
		exact := slices.Contains(names, key)
		for i, name := range names {
			if name == key || !exact && simplified(name) == simplified(key) && !slices.Contains(sortedKeys(byName), name) {
				all[i] = assignment{byName[key], true, key}
			}
		}
	}
	return all
}

// countFields returns the number of different fields in a header.
func countFields(names []string, byName map[string]string) int {
	var found []string
	for _, a := range assign(names, byName) {
		if a.field != "" && !slices.Contains(found, a.field) {
			found = append(found, a.field)
		}
	}
	return len(found)
}

// setColumns finds the field of each column. Of several columns for one field, the one
// that Map names is used; otherwise they are a fault.
func (r *Reader) setColumns(names []string, o *Options) error {
	var faults []error
	found := make(map[string]bool) // keys of Map
	byMap := make(map[string][]columnName)
	byName := make(map[string][]columnName)
	r.columns = make([]column, len(names))
	for i, a := range assign(names, o.Map) {
		if a.isMapped {
			found[a.key] = true
			byMap[a.field] = append(byMap[a.field], columnName{i, names[i]})
		} else if a.field != "" {
			byName[a.field] = append(byName[a.field], columnName{i, names[i]})
		}
	}
	for _, key := range sortedKeys(o.Map) {
		if !found[key] {
			faults = append(faults, fmt.Errorf("map: the header has no column %q; its columns are %s", key, list(quoteAll(names))))
		}
	}
	r.columnOf = make(map[string]columnName)
	for _, field := range decision.Fields {
		all := byMap[field]
		if len(all) == 0 {
			all = byName[field]
		}
		if len(all) == 0 {
			continue
		}
		if len(all) > 1 {
			faults = append(faults, ambiguous(field, all[0], all[1], len(byMap[field]) > 0))
			continue
		}
		r.columnOf[field] = all[0]
		r.columns[all[0].index] = column{field: field, name: append(appendString(nil, field), ':')}
	}
	for i, name := range names {
		if r.columns[i].field == "" && name != "" {
			r.unused = append(r.unused, columnName{i, name})
		}
	}
	return errors.Join(faults...)
}

// ambiguous returns the error for two columns that hold one field.
func ambiguous(field string, a, b columnName, mapped bool) error {
	switch {
	case mapped:
		return fmt.Errorf("map: %s and %s are both mapped to %s; map one of them", a, b, field)
	case a.name == b.name:
		return fmt.Errorf("columns %s and %s are both called %s; rename the one that is not the %s", columnLetter(a.index), columnLetter(b.index), quote(a.name), field)
	}
	return fmt.Errorf("%s and %s both look like %s; say which one it is: --map %s or --map %s",
		a, b, field, shellQuote(a.name+"="+field), shellQuote(b.name+"="+field))
}

// likely are words in the name of a column that may hold a field. They make a
// proposal, nothing more.
var likely = map[string][]string{
	"profile_id": {"profile", "customer", "client", "applicant", "company", "entity"},
	"task_id":    {"task", "check"},
	"state":      {"state", "status", "outcome", "result", "decision", "verdict"},
}

// missingColumns returns a hint for each required field that no column holds.
func (r *Reader) missingColumns(o *Options) []string {
	var hints []string
	for _, fields := range [][]string{{"profile_id"}, {"task_id", "task"}, {"state", "is_complete"}} {
		if slices.ContainsFunc(fields, func(f string) bool { _, ok := r.columnOf[f]; return ok || o.Set[f] != "" }) {
			continue
		}
		same := ""
		if fields[0] == "state" {
			same = "; if all rows have the same, add --set state=" + string(decision.CompletedPass) + " or --set state=" + string(decision.CompletedFail)
		}
		if len(r.unused) == 0 {
			hints = append(hints, fmt.Sprintf("no column is the %s, and no other column is left that could be; add it to the file%s", fields[0], same))
			continue
		}
		example := "COLUMN"
		for _, word := range likely[fields[0]] {
			if i := slices.IndexFunc(r.unused, func(c columnName) bool { return strings.Contains(simplified(c.name), word) }); i >= 0 {
				example = r.unused[i].name
				break
			}
		}
		hints = append(hints, fmt.Sprintf("no column is the %s; if one of %s is, add --map %s%s", fields[0], list(namesOf(r.unused)), shellQuote(example+"="+fields[0]), same))
	}
	return hints
}

func namesOf(columns []columnName) []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = quote(c.name)
	}
	return names
}
