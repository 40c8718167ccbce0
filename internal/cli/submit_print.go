package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"verdict/internal/bulk/rows"
	"verdict/internal/decision"
	"verdict/internal/term"
)

// maxRowFindings is the number of findings of each kind that are printed.
const maxRowFindings = 20

// submitWarnings returns the warnings about a batch, a line each.
func submitWarnings(b *rows.Batch) []string {
	all := b.Warnings
	if b.Rows == b.Blank {
		all = append(all, "there are no rows")
	}
	if b.Expired > 0 {
		all = append(all, fmt.Sprintf("%s already past expires_at, and will be dead-lettered as expired", term.PluralIs(b.Expired, "decision")))
	}
	return all
}

// writeRowFindings prints the first findings of each kind as a table.
func writeRowFindings(out io.Writer, b *rows.Batch, withFile bool, rejects string) {
	if len(b.Findings) == 0 {
		return
	}
	w := term.NewTable(out)
	row := func(file, line, kind, text string) {
		if withFile {
			fmt.Fprintf(w, "%s\t", file)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", line, kind, text)
	}
	row("FILE", strings.ToUpper(b.Unit()), "KIND", "WHAT")
	shown := make(map[rows.Kind]int64)
	for _, f := range b.Findings {
		shown[f.Kind]++
		row(decision.OneLine(f.File, 256), strconv.Itoa(f.Line), string(f.Kind), f.Text)
	}
	_ = w.Flush() // if standard output is gone, there is nowhere to report it
	for _, more := range []struct {
		kind rows.Kind
		n    int64
	}{{rows.Invalid, b.Invalid}, {rows.Superseded, b.Superseded}, {rows.Duplicate, b.Duplicates}} {
		if n := more.n - shown[more.kind]; n > 0 {
			hint := ""
			if more.kind == rows.Invalid && rejects == "" {
				hint = " (to list all, use --rejects FILE)"
			}
			fmt.Fprintf(out, "and %s more %s%s\n", term.Commas(n), more.kind, hint)
		}
	}
}
