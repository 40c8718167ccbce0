package term

import (
	"io"
	"text/tabwriter"
)

// NewTable returns a writer that aligns cells, which end with a tab, in columns.
// The caller flushes it.
func NewTable(out io.Writer) *tabwriter.Writer {
	return tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
}
