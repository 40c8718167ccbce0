package rows

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"verdict/internal/decision"
)

func isField(name string) bool { return slices.Contains(decision.Fields[:], name) }

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
