package rows

import (
	"fmt"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"verdict/internal/decision"
)

// ValidBatchID says what is wrong with the ID of a batch, if anything.
func ValidBatchID(id string) error {
	bad := func(r rune) bool { return !unicode.IsPrint(r) || unicode.IsSpace(r) || r == utf8.RuneError }
	if id == "" || len(id) > decision.MaxBatchIDLength || strings.IndexFunc(id, bad) >= 0 {
		return fmt.Errorf("the ID of a batch has 1 to %d bytes of printable characters without spaces, is %s",
			decision.MaxBatchIDLength, short(id))
	}
	return nil
}

// Batch is what the files of an Input hold, checked.
type Batch struct {
	// ID is the batch's.
	ID string
	// Content is the SHA-256 of the files' content without compression, in
	// hexadecimal; of several files, that of their hashes.
	Content string
	// Rows is the number of all rows; Invalid, Superseded and Duplicates of those
	// that are so. A row is counted once, by the first of these.
	Rows, Invalid, Superseded, Duplicates int64
	// Expired is how many decisions to be sent are past their expires_at already.
	Expired int64
	// Warnings are about the files, each one line.
	Warnings []string
	// Findings are the first of each kind, by their place.
	Findings []Finding

	in        *Input
	o         CheckOptions
	relations *relations
}

// Size is the number of decisions to be sent.
func (b *Batch) Size() int64 { return b.Rows - b.Invalid - b.Superseded }

// Close lets temporary files go.
func (b *Batch) Close() { b.relations.close() }

// largest is the headers of a batch at their largest, so that a row that is valid
// here is so too with the headers it gets.
func largest(id string) []decision.Header {
	const most = 1e15 - 1
	return decision.BatchPlace{ID: id, Line: most, Size: most}.Headers()
}

// derivedID is the ID of a batch that is given none.
func derivedID(content string) string { return "sha256-" + content[:24] }

// choices is what says, beside the content, which rows are sent and how.
func (b *Batch) Choices() string {
	var all []string
	for _, column := range sorted(b.o.Rows.Map) {
		all = append(all, fmt.Sprintf("--map %q", column+"="+b.o.Rows.Map[column]))
	}
	for _, field := range sorted(b.o.Rows.Set) {
		all = append(all, fmt.Sprintf("--set %q", field+"="+b.o.Rows.Set[field]))
	}
	if b.o.LastWins {
		all = append(all, "--last-wins")
	}
	if b.o.SkipInvalid {
		all = append(all, "--skip-invalid")
	}
	if len(all) == 0 {
		return "no choices"
	}
	sort.Strings(all)
	return strings.Join(all, " ")
}

// IDFromContent reports whether the batch's ID is the one made from its content.
func (b *Batch) IDFromContent() bool { return b.ID == derivedID(b.Content) }

// Paths returns the absolute paths of the batch's files; standard input and pipes
// have none.
func (b *Batch) Paths() []string { return b.in.paths() }

// CheckUnchanged returns an error if a file changed since it was opened.
func (b *Batch) CheckUnchanged() error { return b.in.unchanged() }
