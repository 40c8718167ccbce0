package rows_test

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"verdict/internal/bulk/rows"
	"verdict/internal/decision"
)

func TestWriteRejectsWritesAllInvalidRows(t *testing.T) {
	in := openFiles(t, "", "id,profile_id\na,\"b\nc,d\n", row("x", 1, decision.CompletedPass)+"{\"id\":1}\n")
	b := check(t, in, rows.CheckOptions{})
	path := filepath.Join(t.TempDir(), "rejects.csv")
	for range 2 { // the second replaces the first
		if err := b.WriteRejects(t.Context(), path); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	names := in.Names()
	want := [][]string{
		{"file", "line", "id", "fault", "row"},
		{names[0], "2", "", "value: a quote is not closed", "a,\"b"},
		{names[0], "3", "c", "profile_id: must be 8-4-4-4-12 hexadecimal, is \"d\"; task_id: missing; state: missing", "c,d"},
		{names[1], "2", "", "id: must be a string, is 1; profile_id: missing; task_id: missing; state: missing", "{\"id\":1}"},
	}
	if !reflect.DeepEqual(all, want) {
		t.Errorf("got\n%q\nwant\n%q", all, want)
	}
	if err := b.WriteRejects(t.Context(), names[0]); err == nil || !strings.Contains(err.Error(), "is a file of the batch itself") {
		t.Errorf("over the input: %v", err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
}

func TestWriteRejectsWritesToADevice(t *testing.T) {
	b := check(t, openFiles(t, "", "{}\n"), rows.CheckOptions{})
	if err := b.WriteRejects(t.Context(), os.DevNull); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode().IsRegular() {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}
