package rows

import (
	"cmp"
	"slices"
	"strings"

	"verdict/internal/decision"
)

func (b *Batch) finding(at place, kind Kind, text string) Finding {
	return Finding{File: b.in.files[at.file()].name, Line: at.line(), Kind: kind, Text: decision.OneLine(text, maxFindingText)}
}

// maxFindingText bounds the text of a finding, in bytes: a row can have a dozen
// faults, each of them bounded.
const maxFindingText = 2 << 10

// count counts the relations that were found and keeps the first.
func (b *Batch) count() error {
	found := newFindings(b.relations)
	kept := map[Kind]int{}
	for {
		at, ok := found.peek()
		if !ok {
			break
		}
		e, err := found.at(at)
		if err != nil {
			return err
		}
		kind := e[0].relation().kind()
		switch kind {
		case Invalid:
			b.Invalid++
		case Superseded:
			b.Superseded++
		default:
			b.Duplicates++
		}
		if kept[kind]++; kept[kind] <= b.o.MaxFindings {
			b.Findings = append(b.Findings, b.finding(at, kind, describe(e, b.in)))
		}
	}
	if found.err != nil {
		return found.err
	}
	b.keepFirst()
	return nil
}

// keepFirst brings the findings into the order of their places, of each kind no
// more than are wanted.
func (b *Batch) keepFirst() {
	file := make(map[string]int, len(b.in.files))
	for i, f := range b.in.files {
		file[f.name] = i
	}
	slices.SortStableFunc(b.Findings, func(x, y Finding) int {
		return cmp.Or(cmp.Compare(file[x.File], file[y.File]), cmp.Compare(x.Line, y.Line))
	})
	kept := map[Kind]int{}
	b.Findings = slices.DeleteFunc(b.Findings, func(f Finding) bool {
		kept[f.Kind]++
		return kept[f.Kind] > b.o.MaxFindings
	})
}

// describe is what was found about one row: of what makes it invalid all, else the
// first.
func describe(found []entry, in *Input) string {
	all := []string{found[0].text(in)}
	for i := 1; i < len(found) && found[i].relation().kind() == Invalid; i++ {
		all = append(all, found[i].text(in))
	}
	return strings.Join(all, "; ")
}
