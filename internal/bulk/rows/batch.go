package rows

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"verdict/internal/decision"
)

// Batch is the checked content of an Input.
type Batch struct {
	// ID identifies the batch.
	ID string
	// Content is the SHA-256 of the file's uncompressed content, in hexadecimal; of
	// several files, the SHA-256 of their hashes.
	Content string
	// Rows counts all rows. Invalid, Superseded and Duplicates count those with a
	// finding of that kind; a row with several counts under the first of them. Blank
	// counts rows whose cells are all empty.
	Rows, Invalid, Superseded, Duplicates, Blank int64
	// Expired counts decisions to send that are past their expires_at already.
	Expired int64
	// Warnings are about the files as a whole, one line each.
	Warnings []string
	// Hints say what could be done about invalid rows, one line each, with the flag that
	// would do it.
	Hints []string
	// Findings are the first of each kind, in the order of the rows.
	Findings []Finding

	in        *Input
	options   CheckOptions
	given     []string     // the fields of Rows.Set that Check did not set itself
	files     []fileCounts // of each file of the Input
	ended     int          // files that were read to their end
	relations *relations
}

// fileCounts is what Check found in one file.
type fileCounts struct {
	content bool  // it has more than white space
	send    int64 // rows that are valid, or superseded by others
}

// Unsent returns the names of the files that have content of which nothing is sent.
func (b *Batch) Unsent() []string {
	var names []string
	for i, f := range b.files {
		if f.content && f.send == 0 {
			names = append(names, b.in.files[i].name)
		}
	}
	return names
}

// Unit returns what the number of a finding counts in its file: line, row or object;
// line where the files differ.
func (b *Batch) Unit() string {
	unit := b.in.files[0].unit
	for _, f := range b.in.files {
		if f.unit != unit {
			return "line"
		}
	}
	return unit
}

// ValidBatchID returns an error that says why id can't be the ID of a batch, or nil.
func ValidBatchID(id string) error {
	bad := func(r rune) bool { return !unicode.IsPrint(r) || unicode.IsSpace(r) || r == utf8.RuneError }
	if id == "" || len(id) > decision.MaxBatchIDLength || strings.IndexFunc(id, bad) >= 0 {
		return fmt.Errorf("the ID of a batch must be 1 to %d bytes of printable characters without spaces, is %s",
			decision.MaxBatchIDLength, quote(id))
	}
	return nil
}

// Close removes the temporary files.
func (b *Batch) Close() { b.relations.close() }

// Size returns the number of decisions to send.
func (b *Batch) Size() int64 { return b.Rows - b.Invalid - b.Superseded - b.Blank }

// IDFromContent reports whether the batch's ID is the default: made from its content.
func (b *Batch) IDFromContent() bool { return b.ID == defaultID(b.Content) }

// Paths returns the absolute paths of the batch's files. Standard input and pipes have
// none.
func (b *Batch) Paths() []string { return b.in.paths() }

// CheckUnchanged returns an error if a file changed since it was opened.
func (b *Batch) CheckUnchanged() error { return b.in.checkUnchanged() }

// Flags returns the flags of the command line that say, beside the content, which rows
// are sent and how; empty: none.
func (b *Batch) Flags() string {
	var flags []string
	for _, column := range sortedKeys(b.options.Rows.Map) {
		flags = append(flags, fmt.Sprintf("--map %q", column+"="+b.options.Rows.Map[column]))
	}
	for _, field := range sortedKeys(b.options.Rows.Set) {
		flags = append(flags, fmt.Sprintf("--set %q", field+"="+b.options.Rows.Set[field]))
	}
	for _, text := range sortedKeys(b.options.Rows.Values) {
		flags = append(flags, fmt.Sprintf("--values %q", text+"="+b.options.Rows.Values[text]))
	}
	if e := b.options.Rows.Encoding; e != DetectEncoding {
		flags = append(flags, fmt.Sprintf("--encoding %s", e))
	}
	if s := b.options.Rows.Sheet; s != "" {
		flags = append(flags, fmt.Sprintf("--sheet %q", s))
	}
	if b.options.LastWins {
		flags = append(flags, "--last-wins")
	}
	if b.options.SkipInvalid {
		flags = append(flags, "--skip-invalid")
	}
	slices.Sort(flags)
	return strings.Join(flags, " ")
}

// defaultID returns the ID of a batch that was given none.
func defaultID(content string) string { return "sha256-" + content[:24] }

// largestHeaders returns the headers of a batch's records at their largest. A row that
// is valid with these is valid with the headers it gets.
func largestHeaders(id string) []decision.Header {
	const most = 1e15 - 1
	return decision.BatchPlace{ID: id, Line: most, Size: most}.Headers()
}
