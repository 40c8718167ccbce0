package rows

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"verdict/internal/decision"
)

// Options say how a file is read.
type Options struct {
	// Format of the uncompressed file. Zero: detected from the content.
	Format Format
	// Encoding of the uncompressed text. Zero: detected from its byte order mark, and
	// UTF-8 without one.
	Encoding Encoding
	// Sheet is the name of the sheet of a workbook. Zero: the first that is not hidden.
	Sheet string
	// Map renames columns (CSV, workbooks) or members (JSON): from the name in the file
	// to a decision's field; an empty field leaves the column out. Zero: each field goes
	// by its own name, columns in any usual spelling of it.
	Map map[string]string
	// Values says which state a text in the place of a state means, without regard to
	// case. Zero: a state goes by its own name.
	Values map[string]string
	// Set gives fields the same value in every row, in place of the row's own: from
	// the field to the value as a CSV cell would have it. An empty value removes the
	// field. Zero: none.
	Set map[string]string
	// BatchID is the batch_id of rows that have none; rows without an id get
	// BatchID/Number. Zero: such rows stay as they are.
	BatchID string
	// Before is the number of rows in the files before this one; Row.Number counts on
	// from there. Zero: none.
	Before int64
	// Content receives every uncompressed byte of the file as it is read. Its errors
	// count as read errors. Nil: not wanted.
	Content io.Writer
	// TempDir is the folder for the texts of a workbook. Zero: the system's folder.
	TempDir string
}

// Validate returns every fault of the options.
func (o *Options) Validate() error {
	var faults []error
	if !slices.Contains([]Format{DetectFormat, CSV, JSONLines}, o.Format) {
		faults = append(faults, fmt.Errorf("format: must be %s or %s, is %q", CSV, JSONLines, o.Format))
	}
	if o.Encoding != DetectEncoding && !slices.Contains(Encodings, o.Encoding) {
		faults = append(faults, fmt.Errorf("encoding: must be one of %v, is %q", Encodings, o.Encoding))
	}
	faults = append(faults, validateValues(o.Values)...)
	for _, column := range sortedKeys(o.Map) {
		if field := o.Map[column]; field != "" && !decision.IsField(field) {
			faults = append(faults, fmt.Errorf("map: column %q: %q is not a field of a decision; the fields are %s", column, field, allFields))
		}
	}
	for _, field := range sortedKeys(o.Set) {
		if !decision.IsField(field) {
			faults = append(faults, fmt.Errorf("set: %q is not a field of a decision; the fields are %s", field, allFields))
		}
	}
	return errors.Join(faults...)
}

var allFields = strings.Join(decision.Fields[:], ", ")
