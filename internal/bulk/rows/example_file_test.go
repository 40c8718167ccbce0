package rows_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"verdict/internal/bulk/rows"
	"verdict/internal/decision"
)

// open opens the example file.
func open(t testing.TB, o rows.Options) *rows.Reader {
	t.Helper()
	f, err := os.Open("../../../examples/decisions-10k.csv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	reader, err := rows.NewReader(f, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reader.Close)
	return reader
}

// The example file holds decisions as upstream teams send them. What should become of
// them was worked out independently of any code here.
func TestReaderReadsTheExampleFileAsExpected(t *testing.T) {
	var want struct {
		Decisions   int
		Completed   int
		Duplicate   int
		DeadLetters map[decision.Reason]int `json:"dead_letters"`
		Tasks       int
		LastState   string `json:"last_state_sha256"`
	}
	b, err := os.ReadFile("../../../examples/decisions-10k.csv.expected.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	got := want
	got.Decisions, got.Completed, got.Duplicate, got.DeadLetters = 0, 0, 0, map[decision.Reason]int{}

	reader := open(t, rows.Options{})
	now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	seen := map[string]bool{}
	last := map[decision.Task]decision.State{}
	for {
		row, err := reader.Next()
		if err == io.EOF {
			break
		}
		if err != nil || row.Fault != "" {
			t.Fatalf("line %d: %s %v", row.Line, row.Fault, err)
		}
		got.Decisions++
		rec := row.Record("task-decisions")
		rec.Offset = int64(got.Decisions)
		d, err := decision.Decode(&rec)
		switch {
		case err != nil:
			got.DeadLetters[decision.InvalidEvent]++
		case d.Expired(now):
			got.DeadLetters[decision.Expired]++
		case seen[d.ID]:
			got.Duplicate++
		default:
			seen[d.ID] = true
			last[d.Task] = d.State
			got.Completed++
		}
	}
	got.Tasks = len(last)
	var lines []string
	for task, state := range last {
		lines = append(lines, fmt.Sprintf("%s/%s=%s", task.ProfileID, task.TaskID, state))
	}
	slices.Sort(lines)
	got.LastState = fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(lines, "\n"))))
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestReaderSetsABatchIDInEveryRow(t *testing.T) {
	reader := open(t, rows.Options{Set: map[string]string{"batch_id": "b-1"}})
	for range 10 {
		row, err := reader.Next()
		if err != nil {
			t.Fatal(err)
		}
		if d, err := row.Decode(); err != nil || d.BatchID != "b-1" {
			t.Errorf("line %d: %+v, %v", row.Line, d, err)
		}
	}
}
