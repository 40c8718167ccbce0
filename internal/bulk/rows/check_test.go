package rows_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"verdict/internal/bulk/rows"
	"verdict/internal/decision"
)

// row returns a line of JSON Lines: a decision on the nth task.
func row(id string, n int, state decision.State) string {
	return fmt.Sprintf("{\"id\":%q,\"profile_id\":%q,\"task_id\":\"%08x-dddd-eeee-ffff-%012x\",\"state\":%q}\n", id, profileID, n, n, state)
}

// openFiles opens standard input, unless it is empty, and files with these contents.
func openFiles(t *testing.T, stdin string, contents ...string) *rows.Input {
	t.Helper()
	var names []string
	if stdin != "" {
		names = append(names, rows.Stdin)
	}
	for i, content := range contents {
		name := filepath.Join(t.TempDir(), fmt.Sprintf("%d", i))
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	in, err := rows.Open(t.Context(), names, strings.NewReader(stdin), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(in.Close)
	return in
}

func check(t *testing.T, in *rows.Input, o rows.CheckOptions) *rows.Batch {
	t.Helper()
	o.TempDir = t.TempDir()
	b, err := rows.Check(t.Context(), in, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func TestCheckCountsEachRowOnce(t *testing.T) {
	const pass, fail = decision.CompletedPass, decision.CompletedFail
	file := row("a", 1, pass) + row("a", 1, pass) + row("b", 2, pass) + row("b", 2, fail) + row("c", 3, "x") +
		row("d", 4, pass) + row("d", 5, pass) + row("e", 6, pass) + row("f", 6, pass) + row("g", 6, pass)
	b := check(t, openFiles(t, "", file), rows.CheckOptions{MaxFindings: 2})
	if b.Rows != 10 || b.Invalid != 5 || b.Duplicates != 3 || b.Superseded != 0 || b.Size() != 5 {
		t.Errorf("%+v", b)
	}
	var got []string
	for _, f := range b.Findings {
		got = append(got, fmt.Sprint(f.Line, f.Kind))
	}
	// The first two of each kind, and at most one for a row.
	if want := []string{"2duplicate", "3invalid", "4invalid", "9duplicate"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	b = check(t, openFiles(t, "", file), rows.CheckOptions{LastWins: true})
	if b.Invalid != 3 || b.Superseded != 1 || b.Size() != 6 || len(b.Findings) != 0 {
		t.Errorf("with LastWins: %+v", b)
	}
}

func TestCheckComparesAliasesAsTasks(t *testing.T) {
	var file strings.Builder
	file.WriteString("profile_id;task;state\n")
	for _, row := range []string{`{""alias"":""a""}";COMPLETED_PASS`, `{""alias"":""b""}";COMPLETED_FAIL`, `{""alias"":""a""}";COMPLETED_PASS`, `{""type"":""a""}";COMPLETED_PASS`, `{""alias"": ""b""}";COMPLETED_PASS`} {
		file.WriteString(profileID + `;"` + row + "\n")
	}
	b := check(t, openFiles(t, "", file.String()), rows.CheckOptions{MaxFindings: 5})
	var got []string
	for _, f := range b.Findings {
		got = append(got, fmt.Sprint(f.Line, f.Kind))
	}
	if want := []string{"3invalid", "4duplicate", "6invalid"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %v", b.Findings, want)
	}
}

func TestCheckFindsTheFaultsOfTheExampleFile(t *testing.T) {
	in, err := rows.Open(t.Context(), []string{"../../../examples/decisions-10k.csv"}, nil, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	// decisions-10k.csv.expected.json counts 260 rows that are not decisions.
	b := check(t, in, rows.CheckOptions{LastWins: true, MaxFindings: 1})
	if b.Rows != 10020 || b.Invalid != 260 || b.Expired == 0 {
		t.Errorf("%+v", b)
	}
}

func TestCheckCountsBatchHeadersInARowsSize(t *testing.T) {
	long := func(n int) string {
		line := strings.TrimSuffix(row("a", 1, decision.CompletedPass), "}\n") + `,"x":"`
		return line + strings.Repeat("x", n-len(line)-len(profileID)-2) + `"}` + "\n"
	}
	for size, want := range map[int]int64{decision.MaxRecordSize - 300: 0, decision.MaxRecordSize: 1} {
		if b := check(t, openFiles(t, "", long(size)), rows.CheckOptions{BatchID: "b"}); b.Invalid != want {
			t.Errorf("%d bytes: %+v", size, b)
		}
	}
}
