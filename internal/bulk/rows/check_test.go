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

// A batch that the first edition sent is known by the same ID still.
func TestCheckKeepsTheIDsOfBatches(t *testing.T) {
	bom := "\ufefftask_id;profile_id;state\r\n00000006-dddd-eeee-ffff-000000000006;00000006-aaaa-bbbb-cccc-000000000006;COMPLETED_PASS\r\n,,\r\n;;\r\n"
	example, err := os.ReadFile("../../../examples/decisions-10k.csv")
	if err != nil {
		t.Fatal(err)
	}
	for id, content := range map[string]string{"sha256-2c66e45191c995db5b3caedb": bom, "sha256-6a48ae834e2741b5b73e8c99": string(example)} {
		for _, file := range []string{content, string(compressed(t, gzipped, content)), string(compressed(t, zstandard, content))} {
			if b := check(t, openFiles(t, "", file), rows.CheckOptions{}); b.ID != id {
				t.Errorf("%s, want %s", b.ID, id)
			}
		}
	}
}

// A row of empty cells counts as a row, as it did in the first edition, so that the
// rows after it keep their numbers.
func TestCheckPassesOverRowsOfEmptyCells(t *testing.T) {
	line := strings.Join([]string{profileID, taskID, "COMPLETED_PASS"}, ",")
	b := check(t, openFiles(t, "", "profile_id,task_id,state\n,,\n"+line+"\n"), rows.CheckOptions{})
	var sent []string
	err := b.Each(t.Context(), func(r *rows.CheckedRow) error {
		if r.ToSend() {
			sent = append(sent, fmt.Sprintf("%s: %d %s", r.Where(), r.Number, r.Value))
		}
		return nil
	})
	if err != nil || len(sent) != 1 || !strings.HasPrefix(sent[0], "line 3: 2 ") || !strings.Contains(sent[0], b.ID+"/2") {
		t.Errorf("%q, %v", sent, err)
	}
	if b.Rows != 2 || b.Blank != 1 || b.Size() != 1 || b.Invalid != 0 || len(b.Unsent()) != 0 {
		t.Errorf("%+v", b)
	}
}

func TestCheckNamesFilesOfWhichNothingIsSent(t *testing.T) {
	const pass, fail = decision.CompletedPass, decision.CompletedFail
	for name, tc := range map[string]struct {
		files  []string
		unsent []int
		o      rows.CheckOptions
	}{
		"nothing, and blank lines":  {files: []string{"", "\n\r\n", row("a", 1, pass)}},
		"a header alone":            {files: []string{row("a", 1, pass), "profile_id,task_id,state\n"}, unsent: []int{1}},
		"an empty array":            {files: []string{"[]"}, unsent: []int{0}},
		"only blank rows":           {files: []string{"profile_id,task_id,state\n,,\n"}, unsent: []int{0}},
		"only invalid rows":         {files: []string{row("a", 1, "x"), row("a", 1, pass)}, unsent: []int{0}, o: rows.CheckOptions{SkipInvalid: true}},
		"rows that contradict":      {files: []string{row("a", 1, pass), row("b", 1, fail)}, unsent: []int{0, 1}},
		"rows that were superseded": {files: []string{row("a", 1, pass), row("b", 1, fail)}, o: rows.CheckOptions{LastWins: true}},
	} {
		t.Run(name, func(t *testing.T) {
			in := openFiles(t, "", tc.files...)
			var want []string
			for _, i := range tc.unsent {
				want = append(want, in.Names()[i])
			}
			if got := check(t, in, tc.o).Unsent(); !reflect.DeepEqual(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
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
