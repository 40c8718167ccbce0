package rows_test

import (
	"testing"

	"verdict/internal/bulk/rows"
	"verdict/internal/decision"
)

func TestBatchIDDependsOnContentOnly(t *testing.T) {
	content := row("a", 1, decision.CompletedPass)
	plain := check(t, openFiles(t, "", content), rows.CheckOptions{})
	for name, b := range map[string]*rows.Batch{
		"gzip":           check(t, openFiles(t, "", string(compressed(t, gzipped, content))), rows.CheckOptions{}),
		"zstd":           check(t, openFiles(t, "", string(compressed(t, zstandard, content))), rows.CheckOptions{}),
		"standard input": check(t, openFiles(t, content), rows.CheckOptions{}),
		"set":            check(t, openFiles(t, "", content), rows.CheckOptions{Rows: rows.Options{Set: map[string]string{"source": "x"}}}),
	} {
		if b.ID != plain.ID || b.Content != plain.Content {
			t.Errorf("%s: %s, want %s", name, b.ID, plain.ID)
		}
	}
	for name, b := range map[string]*rows.Batch{
		"other":     check(t, openFiles(t, "", content+"\n"), rows.CheckOptions{}),
		"two files": check(t, openFiles(t, "", content, ""), rows.CheckOptions{}),
	} {
		if b.ID == plain.ID {
			t.Errorf("%s: the ID is the same", name)
		}
	}
	if b := check(t, openFiles(t, "", content), rows.CheckOptions{BatchID: "mine"}); b.ID != "mine" || b.Content != plain.Content {
		t.Errorf("%+v", b)
	}
}
