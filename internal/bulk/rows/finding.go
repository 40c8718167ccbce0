package rows

import (
	"cmp"
	"slices"
	"strings"

	"verdict/internal/decision"
)

// Finding is something that Check found about a row.
type Finding struct {
	File string // by its name
	Line int    // in the file, or what else its rows are counted by (Batch.Unit)
	Kind Kind
	Text string // for people
}

// Kind is the kind of a Finding. Its text is shown in the list of findings.
type Kind string

// The kinds of findings.
const (
	// Invalid: the row is not a valid decision, or contradicts another row. It is not
	// sent.
	Invalid Kind = "invalid"
	// Superseded: a later row decides the same task differently, and the last row wins
	// (CheckOptions.LastWins). The row is not sent.
	Superseded Kind = "superseded"
	// Duplicate: an earlier row says the same. The row is sent anyway, since its sender
	// may be waiting for its result.
	Duplicate Kind = "duplicate"
	// Blank: all cells of the row are empty. It is not sent, and not listed.
	Blank Kind = "blank"
)

// maxFindingText bounds the text of a finding, in bytes. A row can have a dozen faults,
// each of them bounded.
const maxFindingText = 2 << 10

func (b *Batch) addFinding(at place, kind Kind, text string) {
	b.Findings = append(b.Findings, Finding{
		File: b.in.files[at.file()].name, Line: at.line(), Kind: kind, Text: decision.OneLine(text, maxFindingText),
	})
}

// keepFirstFindings sorts the findings by their rows and keeps MaxFindings of each
// kind.
func (b *Batch) keepFirstFindings() {
	file := make(map[string]int, len(b.in.files))
	for i, f := range b.in.files {
		file[f.name] = i
	}
	slices.SortStableFunc(b.Findings, func(x, y Finding) int {
		return cmp.Or(cmp.Compare(file[x.File], file[y.File]), cmp.Compare(x.Line, y.Line))
	})
	kept := make(map[Kind]int)
	b.Findings = slices.DeleteFunc(b.Findings, func(f Finding) bool {
		kept[f.Kind]++
		return kept[f.Kind] > b.options.MaxFindings
	})
}

// describe returns the text of what was found about one row: everything that makes it
// invalid, otherwise the first finding.
func describe(found []entry, in *Input) string {
	texts := []string{found[0].text(in)}
	for i := 1; i < len(found) && relationOf(&found[i]).kind() == Invalid; i++ {
		texts = append(texts, found[i].text(in))
	}
	return strings.Join(texts, "; ")
}
