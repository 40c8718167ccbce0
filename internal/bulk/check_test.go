package backfill_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	backfill "verdict/internal/bulk"
	"verdict/internal/decision"
)

func row(id string, n int, state decision.State) string {
	return fmt.Sprintf("{\"id\":%q,\"profile_id\":%q,\"task_id\":\"%08x-dddd-eeee-ffff-%012x\",\"state\":%q}\n", id, profileID, n, n, state)
}

// open opens files, each given by its content; the first of none is standard input.
func openFiles(t *testing.T, stdin string, contents ...string) *backfill.Input {
	t.Helper()
	var names []string
	if stdin != "" {
		names = append(names, backfill.Stdin)
	}
	for i, content := range contents {
		name := filepath.Join(t.TempDir(), fmt.Sprintf("%d", i))
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	in, err := backfill.Open(t.Context(), names, strings.NewReader(stdin), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(in.Close)
	return in
}

func check(t *testing.T, in *backfill.Input, o backfill.CheckOptions) *backfill.Batch {
	t.Helper()
	o.TempDir = t.TempDir()
	b, err := backfill.Check(t.Context(), in, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func TestCheckCountsEachRowOnceAndKeepsTheFirstFindings(t *testing.T) {
	const pass, fail = decision.CompletedPass, decision.CompletedFail
	file := row("a", 1, pass) + row("a", 1, pass) + row("b", 2, pass) + row("b", 2, fail) + row("c", 3, "x") +
		row("d", 4, pass) + row("d", 5, pass) + row("e", 6, pass) + row("f", 6, pass) + row("g", 6, pass)
	b := check(t, openFiles(t, "", file), backfill.CheckOptions{MaxFindings: 2})
	if b.Rows != 10 || b.Invalid != 5 || b.Duplicates != 3 || b.Superseded != 0 || b.Size() != 5 {
		t.Errorf("%+v", b)
	}
	var got []string
	for _, f := range b.Findings {
		got = append(got, fmt.Sprint(f.Line, f.Kind))
	}
	// Of each kind the first two, of one row no more than one.
	if want := []string{"2duplicate", "3invalid", "4invalid", "9duplicate"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	b = check(t, openFiles(t, "", file), backfill.CheckOptions{LastWins: true})
	if b.Invalid != 3 || b.Superseded != 1 || b.Size() != 6 || len(b.Findings) != 0 {
		t.Errorf("the last wins: %+v", b)
	}
}

func TestRowsThatNameTheirTaskByAliasAreComparedByIt(t *testing.T) {
	var file strings.Builder
	file.WriteString("profile_id;task;state\n")
	for _, row := range []string{`{""alias"":""a""}";COMPLETED_PASS`, `{""alias"":""b""}";COMPLETED_FAIL`, `{""alias"":""a""}";COMPLETED_PASS`, `{""type"":""a""}";COMPLETED_PASS`, `{""alias"": ""b""}";COMPLETED_PASS`} {
		file.WriteString(profileID + `;"` + row + "\n")
	}
	b := check(t, openFiles(t, "", file.String()), backfill.CheckOptions{MaxFindings: 5})
	var got []string
	for _, f := range b.Findings {
		got = append(got, fmt.Sprint(f.Line, f.Kind))
	}
	if want := []string{"3invalid", "4duplicate", "6invalid"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %v", b.Findings, want)
	}
}

func TestTheUpstreamsFileIsCheckedAsItsTruthSays(t *testing.T) {
	in, err := backfill.Open(t.Context(), []string{"testdata/decisions-10k.csv"}, nil, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	// The truth counts 260 rows that are no decisions.
	b := check(t, in, backfill.CheckOptions{LastWins: true, MaxFindings: 1})
	if b.Rows != 10020 || b.Invalid != 260 || b.Expired == 0 {
		t.Errorf("%+v", b)
	}
}

func TestABatchIsNamedByItsContent(t *testing.T) {
	content := row("a", 1, decision.CompletedPass)
	plain := check(t, openFiles(t, "", content), backfill.CheckOptions{})
	for name, b := range map[string]*backfill.Batch{
		"gzip":           check(t, openFiles(t, "", string(compressed(t, gzipped, content))), backfill.CheckOptions{}),
		"zstd":           check(t, openFiles(t, "", string(compressed(t, zstandard, content))), backfill.CheckOptions{}),
		"standard input": check(t, openFiles(t, content), backfill.CheckOptions{}),
		"set":            check(t, openFiles(t, "", content), backfill.CheckOptions{Rows: backfill.Options{Set: map[string]string{"source": "x"}}}),
	} {
		if b.ID != plain.ID || b.Content != plain.Content {
			t.Errorf("%s: %s, want %s", name, b.ID, plain.ID)
		}
	}
	for name, b := range map[string]*backfill.Batch{
		"other":     check(t, openFiles(t, "", content+"\n"), backfill.CheckOptions{}),
		"two files": check(t, openFiles(t, "", content, ""), backfill.CheckOptions{}),
	} {
		if b.ID == plain.ID {
			t.Errorf("%s: the same ID", name)
		}
	}
	if b := check(t, openFiles(t, "", content), backfill.CheckOptions{BatchID: "mine"}); b.ID != "mine" || b.Content != plain.Content {
		t.Errorf("%+v", b)
	}
}

func TestARowThatIsTooLargeWithItsHeadersIsInvalid(t *testing.T) {
	long := func(n int) string {
		line := strings.TrimSuffix(row("a", 1, decision.CompletedPass), "}\n") + `,"x":"`
		return line + strings.Repeat("x", n-len(line)-len(profileID)-2) + `"}` + "\n"
	}
	for size, want := range map[int]int64{decision.MaxRecordSize - 300: 0, decision.MaxRecordSize: 1} {
		if b := check(t, openFiles(t, "", long(size)), backfill.CheckOptions{BatchID: "b"}); b.Invalid != want {
			t.Errorf("%d bytes: %+v", size, b)
		}
	}
}

func TestRejectsAreAllInvalidRowsAsTheyStand(t *testing.T) {
	in := openFiles(t, "", "id,profile_id\na,\"b\nc,d\n", row("x", 1, decision.CompletedPass)+"{\"id\":1}\n")
	b := check(t, in, backfill.CheckOptions{})
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
		t.Errorf("onto the input: %v", err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("left beside it: %v, %v", left, err)
	}
}

func TestRejectsToADeviceLeaveItADevice(t *testing.T) {
	b := check(t, openFiles(t, "", "{}\n"), backfill.CheckOptions{})
	if err := b.WriteRejects(t.Context(), os.DevNull); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode().IsRegular() {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestInputThatFailsIsAnErrorAndNotItsEnd(t *testing.T) {
	broken := errors.New("the disk")
	_, err := backfill.Open(t.Context(), []string{backfill.Stdin}, io.MultiReader(strings.NewReader("{}\n"), failing{broken}), t.TempDir())
	if !errors.Is(err, broken) {
		t.Errorf("standard input: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := backfill.Open(ctx, []string{backfill.Stdin}, strings.NewReader("{}"), t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	cut := compressed(t, gzipped, strings.Repeat(row("a", 1, decision.CompletedPass), 1000))
	if _, err := backfill.Check(t.Context(), openFiles(t, "", string(cut[:len(cut)/2])), backfill.CheckOptions{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a file cut short: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// FuzzBatchLines holds what a batch adds to a line: nothing but id and batch_id, and
// these only where there is none; a line that is a decision stays one.
func FuzzBatchLines(f *testing.F) {
	for _, line := range []string{
		row("a", 1, decision.CompletedPass), strings.Replace(row("", 1, decision.CompletedFail), `"id":""`, `"batch_id":null,"id":null`, 1),
		`{}`, `{"id":null}`, ` {"batch_id":"b"} `, `{"id":"a","id":"b"}`, "\ufeff{\"i\\u0064\":\"x\"}", `[1]`, `{"a":{"id":1}}`, "{\xff", `{"":""}`,
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		open := func(o backfill.Options) *backfill.Rows {
			o.Format = backfill.JSONLines
			rows, err := backfill.NewRows(bytes.NewReader(file), o)
			if err != nil {
				t.Skip()
			}
			return rows
		}
		plain, batch := open(backfill.Options{}), open(backfill.Options{BatchID: "batch"})
		defer plain.Close()
		defer batch.Close()
		for {
			before, err := plain.Next()
			after, err2 := batch.Next()
			if (err == nil) != (err2 == nil) {
				t.Fatalf("%v, and with a batch %v", err, err2)
			}
			if err != nil {
				return
			}
			if before.Line != after.Line || before.Number != after.Number || !bytes.Equal(before.Key, after.Key) {
				t.Fatalf("%+v, and with a batch %+v", before, after)
			}
			was, fault := before.Decode()
			is, fault2 := after.Decode()
			if (fault == nil) != (fault2 == nil) {
				t.Fatalf("%s: %v; %s: %v", before.Value, fault, after.Value, fault2)
			}
			if fault != nil {
				continue
			}
			if !was.OwnID {
				was.ID, was.OwnID = fmt.Sprintf("batch/%d", after.Number), true
			}
			var members map[string]any // a struct would take Batch_ID too
			if err := json.Unmarshal(before.Value, &members); err == nil && members["batch_id"] == nil {
				was.BatchID = "batch"
			}
			if is != was {
				t.Fatalf("%s\nis    %+v\nwants %+v", after.Value, is, was)
			}
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	const rows = 50_000
	path := filepath.Join(b.TempDir(), "decisions.jsonl")
	if err := os.WriteFile(path, []byte(decisionLines(b, rows, 1)), 0o600); err != nil {
		b.Fatal(err)
	}
	in, err := backfill.Open(b.Context(), []string{path}, nil, b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer in.Close()
	b.ReportAllocs()
	for b.Loop() {
		batch, err := backfill.Check(b.Context(), in, backfill.CheckOptions{TempDir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		batch.Close()
	}
	b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
}
