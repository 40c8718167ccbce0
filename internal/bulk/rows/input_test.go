package rows_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"verdict/internal/bulk/rows"
	"verdict/internal/decision"
)

func TestInputReportsReadErrors(t *testing.T) {
	broken := errors.New("the disk")
	_, err := rows.Open(t.Context(), []string{rows.Stdin}, io.MultiReader(strings.NewReader("{}\n"), failing{broken}), t.TempDir())
	if !errors.Is(err, broken) {
		t.Errorf("standard input: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := rows.Open(ctx, []string{rows.Stdin}, strings.NewReader("{}"), t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	cut := compressed(t, gzipped, strings.Repeat(row("a", 1, decision.CompletedPass), 1000))
	if _, err := rows.Check(t.Context(), openFiles(t, "", string(cut[:len(cut)/2])), rows.CheckOptions{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a file cut short: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
