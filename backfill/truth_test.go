package backfill_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"verdict/backfill"
	"verdict/decision"
)

func open(t testing.TB, o backfill.Options) *backfill.Rows {
	t.Helper()
	f, err := os.Open("testdata/decisions-10k.csv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	rows, err := backfill.NewRows(f, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rows.Close)
	return rows
}

// The file holds decisions as upstream teams send them; what becomes of them was
// worked out independently of any code here.
func TestAFileOfTenThousandDecisionsEndsAsItsTruthSays(t *testing.T) {
	var want struct {
		Decisions   int
		Completed   int
		Duplicate   int
		DeadLetters map[decision.Reason]int `json:"dead_letters"`
		Tasks       int
		LastState   string `json:"last_state_sha256"`
	}
	b, err := os.ReadFile("testdata/decisions-10k.csv.expected.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	got := want
	got.Decisions, got.Completed, got.Duplicate, got.DeadLetters = 0, 0, 0, map[decision.Reason]int{}

	rows := open(t, backfill.Options{})
	now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	seen := map[string]bool{}
	last := map[decision.Task]decision.State{}
	for {
		row, err := rows.Next()
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

func TestValidateCountsEveryFaultAndKeepsTheFirst(t *testing.T) {
	report, err := backfill.Validate(t.Context(), open(t, backfill.Options{}), 3)
	if err != nil || report.Rows != 10020 || report.Faulty != 260 || len(report.Faults) != 3 {
		t.Fatalf("got %+v, %v", report, err)
	}
	for i, f := range report.Faults {
		if _, ok := errors.AsType[*decision.Invalid](f.Err); !ok || i > 0 && f.Line <= report.Faults[i-1].Line {
			t.Errorf("fault %d: %+v", i, f)
		}
	}
}

func TestValidateNamesLineAndIDOfEachFault(t *testing.T) {
	file := "id,profile_id,task_id,state\n" +
		"a," + profileID + "," + taskID + ",COMPLETED_PASS\n" +
		"b," + profileID + "," + taskID + ",PASS\n" +
		"," + profileID + "," + taskID + ",\n" +
		"c\n"
	rows, err := backfill.NewRows(strings.NewReader(file), backfill.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	report, err := backfill.Validate(t.Context(), rows, 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range report.Faults {
		got = append(got, fmt.Sprintf("%d %q %v", f.Line, f.ID, f.Err))
	}
	want := []string{
		`3 "b" state: must be COMPLETED_PASS or COMPLETED_FAIL, is "PASS"`,
		`4 "" state: missing`,
		`5 "" value: the number of cells is 1, that of the header's is 4`,
	}
	if report.Rows != 4 || report.Faulty != 3 || !slices.Equal(got, want) {
		t.Errorf("got %+v\n%s", report, strings.Join(got, "\n"))
	}
}

func TestValidateEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := backfill.Validate(ctx, open(t, backfill.Options{}), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestSetMakesEveryRowsBatch(t *testing.T) {
	rows := open(t, backfill.Options{Set: map[string]string{"batch_id": "b-1"}})
	for range 10 {
		row, err := rows.Next()
		if err != nil {
			t.Fatal(err)
		}
		if d, err := row.Decode(); err != nil || d.BatchID != "b-1" {
			t.Errorf("line %d: %+v, %v", row.Line, d, err)
		}
	}
}
