package rows_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"verdict/internal/bulk/rows"
)

// reading is what is wanted of a file in testdata/corpus; testdata/corpus.py explains it.
type reading struct {
	Options struct {
		Map, Values, Set map[string]string
		Encoding         rows.Encoding
		Sheet            string
		Override         bool
	}
	Rows              []pair[map[string]any]
	Refused           []pair[string]
	Blank, Duplicates int64
	Warnings, Hints   []string
	Error             string
	Unsent            bool
}

// pair is a line and something about it.
type pair[T any] struct {
	line int
	what T
}

func (p *pair[T]) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&p.line, &p.what})
}

// The corpus has files as the programs write them that people have. What is to be read
// from each was worked out by the script that made it, without any code here.
func TestCheckReadsFilesAsProgramsWriteThem(t *testing.T) {
	wanted, err := filepath.Glob("testdata/corpus/*.want.json")
	if err != nil || len(wanted) < 60 {
		t.Fatalf("%d files, %v", len(wanted), err)
	}
	for _, path := range wanted {
		name := strings.TrimSuffix(path, ".want.json")
		t.Run(filepath.Base(name), func(t *testing.T) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var want reading
			if err := json.Unmarshal(b, &want); err != nil {
				t.Fatal(err)
			}
			checkReading(t, name, &want)
		})
	}
}

func checkReading(t *testing.T, name string, want *reading) {
	t.Helper()
	in, err := rows.Open(t.Context(), []string{name}, nil, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	o := want.Options
	batch, err := rows.Check(t.Context(), in, rows.CheckOptions{
		Rows:     rows.Options{Map: o.Map, Values: o.Values, Set: o.Set, Encoding: o.Encoding, Sheet: o.Sheet},
		Override: o.Override, MaxFindings: 20, TempDir: t.TempDir(),
	})
	if want.Error != "" {
		if err == nil || !strings.Contains(err.Error(), want.Error) {
			t.Fatalf("error: %v\nwant   %s", err, want.Error)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Close()
	checkSent(t, batch, want)
	checkTexts(t, "warnings", batch.Warnings, want.Warnings)
	checkTexts(t, "hints", batch.Hints, want.Hints)
	if batch.Blank != want.Blank || batch.Duplicates != want.Duplicates {
		t.Errorf("blank %d, duplicates %d; want %d, %d", batch.Blank, batch.Duplicates, want.Blank, want.Duplicates)
	}
	if unsent := len(batch.Unsent()) > 0; unsent != (want.Unsent || len(want.Rows) == 0 && len(want.Refused) > 0) {
		t.Errorf("unsent: %v", batch.Unsent())
	}
}

// checkSent compares the rows to send, and the findings about those that are refused.
func checkSent(t *testing.T, batch *rows.Batch, want *reading) {
	t.Helper()
	var sent, wanted []string
	err := batch.Each(t.Context(), func(r *rows.CheckedRow) error {
		if !r.ToSend() {
			return nil
		}
		var object map[string]any
		if err := json.Unmarshal(r.Value, &object); err != nil {
			return err
		}
		delete(object, "batch_id")
		if id, _ := object["id"].(string); strings.HasPrefix(id, batch.ID+"/") {
			delete(object, "id")
		}
		sent = append(sent, fmt.Sprintf("%d %q", r.Line, object))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range want.Rows {
		wanted = append(wanted, fmt.Sprintf("%d %q", row.line, row.what))
	}
	if !reflect.DeepEqual(sent, wanted) {
		t.Errorf("sent\n%s\nwant\n%s", strings.Join(sent, "\n"), strings.Join(wanted, "\n"))
	}
	var refused []rows.Finding
	for _, f := range batch.Findings {
		if f.Kind == rows.Invalid {
			refused = append(refused, f)
		}
	}
	if len(refused) != len(want.Refused) {
		t.Fatalf("refused %+v\nwant %v", refused, want.Refused)
	}
	for i, f := range refused {
		if w := want.Refused[i]; f.Line != w.line || !strings.Contains(f.Text, w.what) {
			t.Errorf("refused line %d: %s\nwant line %d: %s", f.Line, f.Text, w.line, w.what)
		}
	}
}

// checkTexts checks that there are as many texts as wanted, and each contains its own.
func checkTexts(t *testing.T, what string, got, want []string) {
	t.Helper()
	ok := len(got) == len(want)
	for _, w := range want {
		found := false
		for _, g := range got {
			found = found || strings.Contains(g, w)
		}
		ok = ok && found
	}
	if !ok {
		t.Errorf("%s\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
