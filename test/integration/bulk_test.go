package integration

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"verdict/internal/decision"
	"verdict/internal/passfort/sandbox"
)

// TestBulk runs a bulk job as a user does, from the file to the last decision, with faults
// on the way: submit and redrive are killed, the API rejects some decisions, and some were
// sent with a wrong field. The steps depend on each other, so they are one test.
func TestBulk(t *testing.T) {
	t.Parallel()
	const rows, batch = 3000, "spring-review"
	s := newScene(t, sceneOptions{api: fastAPI, noTopics: true})
	s.env = append(s.env, "VERDICT_KAFKA_TOPICS_CHECK_RESULTS="+s.group+".checks", "VERDICT_PROCESSOR_WORKERS=64")
	s.run(0, []string{"topics", "--partitions", fmt.Sprint(partitions)}, s.topics.backfill)
	await(t, "the topics exist", func() bool {
		return s.settled() == 0 && s.count(s.topics.backfill) == 0 && s.count(s.topics.decisions) == 0
	})

	// One row in ten is about a task that the API does not know yet, and one has an
	// expires_at in the past by mistake.
	unknown := func(i int) bool { return i%10 == 3 }
	outdated := func(i int) bool { return i%10 == 7 }
	numbers := make(map[decision.Task]int)
	var file bytes.Buffer
	file.WriteString("task_id,profile_id,state,expires_at,comment\n")
	for i := range rows {
		expires := ""
		if outdated(i) {
			expires = "2001-01-01T00:00:00Z"
		}
		fmt.Fprintf(&file, "%s,%s,COMPLETED_PASS,%s,from a ledger\n", task(i, i).TaskID, task(i, i).ProfileID, expires)
		numbers[task(i, i)] = i
	}
	name, report := filepath.Join(t.TempDir(), "decisions.csv"), filepath.Join(t.TempDir(), "report.csv")
	if err := os.WriteFile(name, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	s.setFaults(func(c sandbox.Call) sandbox.Fault {
		if unknown(numbers[decision.NewTask(c.ProfileID, c.TaskID)]) {
			return sandbox.Refusal(http.StatusNotFound)
		}
		return sandbox.Fault{}
	})
	p := s.start("verdict")

	// Submit, with a kill -9 in the middle.
	s.killAt(s.topics.backfill, 700, "submit", name, "--batch-id", batch, "--rate", "600")
	last := s.run(1, []string{"submit", name, "--batch-id", batch, "--wait", "--report", report},
		"300 decisions are already past expires_at", "dead_lettered task_not_found 300\n", "dead_lettered expired 300\n", "600 dead-lettered of 3,000 decisions")
	if want := "submitted=3000 completed=2400 already_complete=0 skipped=0 duplicates=0 dead_lettered=600 missing=0"; last != want {
		t.Errorf("submit ends with %q, want %q", last, want)
	}
	if n := len(s.read(s.topics.backfill)); n != rows {
		t.Errorf("%d records for %d rows", n, rows)
	}
	s.run(1, []string{"submit", name, "--batch-id", batch}, "submitted=0 earlier=3000 ", "was submitted completely at", "give it another --batch-id")
	first := reportRows(t, report)
	checkRows(t, first, rows, func(i int) (outcome, reason, redrives string) {
		switch {
		case unknown(i):
			return "dead_lettered", "task_not_found", "0"
		case outdated(i):
			return "dead_lettered", "expired", "0"
		}
		return "completed", "", "0"
	})

	// The API knows the tasks now: redrive their dead letters, with a kill -9 in the middle.
	s.setFaults(nil)
	s.run(0, []string{"redrive", "--dry-run", "--batch-id", batch},
		"topic "+s.topics.backfill+" 600", "reason task_not_found 300", "reason expired 300", "chosen=600 redriven=0 failed=0 refused=0 already=0 dismissed=0")
	back := []string{"redrive", "--batch-id", batch, "--reason", "task_not_found", "--rate", "60"}
	s.killAt(s.topics.backfill, 100, back...)
	s.run(0, back, "chosen=", " failed=0 refused=0 already=")
	if n := len(s.read(s.topics.backfill)); n != rows+300 {
		t.Errorf("%d records, want %d rows and 300 redriven copies", n, rows)
	}
	// Remove the wrong field.
	patch := filepath.Join(t.TempDir(), "patch.json")
	if err := os.WriteFile(patch, []byte(`{"expires_at": null, "reason": "corrected"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s.run(0, []string{"redrive", "--batch-id", batch, "--edit", patch, "--why", "their dates were wrong"}, "chosen=300 redriven=300 failed=0 refused=0 already=300 dismissed=0")
	last = s.run(0, []string{"follow", batch, "--report", report})
	if want := "submitted=3000 completed=3000 already_complete=0 skipped=0 duplicates=0 dead_lettered=0 missing=0"; last != want {
		t.Errorf("follow ends with %q, want %q", last, want)
	}
	checkRows(t, reportRows(t, report), rows, func(i int) (outcome, reason, redrives string) {
		switch {
		case unknown(i):
			return "completed", "", "1"
		case outdated(i):
			return "completed", "corrected", "1"
		}
		return "completed", "", "0"
	})
	s.run(0, []string{"redrive", "--batch-id", batch, "--dry-run"}, "chosen=0 redriven=0 failed=0 refused=0 already=600 dismissed=0")

	// Explain one decision by its ID and one by its task.
	for _, subject := range []string{batch + "/8", task(7, 7).ProfileID + "/" + task(7, 7).TaskID} { // the header is row 0
		s.checkExplain(subject, "submitted", "dead_lettered", "redriven", "settled")
	}
	await(t, "everything is committed", func() bool { return len(s.uncommitted()) == 0 })
	p.stop()

	// Nothing is missing or repeated, in the topic or at the API.
	copies := make(map[string]int)
	for _, rec := range s.read(s.topics.backfill) {
		if letter, ok := decision.RedrivenFrom(&rec); ok {
			copies[letter.String()]++
		}
	}
	for letter, n := range copies {
		if n != 1 {
			t.Errorf("%s was redriven %d times", letter, n)
		}
	}
	if len(copies) != 600 {
		t.Errorf("%d dead letters were redriven, want 600", len(copies))
	}
	for i := range rows {
		if n := s.api.Completions(task(i, i).ProfileID, task(i, i).TaskID); n != 1 {
			t.Errorf("task %d was completed %d times", i, n)
		}
	}
}

// TestBulkRepairsDecisionsOfAnUpstream redrives decisions that were not sent by submit: the
// batch has no rows and no known size, and only the values name it.
func TestBulkRepairsDecisionsOfAnUpstream(t *testing.T) {
	t.Parallel()
	const n = 200
	s := newScene(t, sceneOptions{api: fastAPI})
	var records []outgoing
	for i := range n {
		records = append(records, outgoing{topic: s.topics.decisions, task: task(i, i), state: decision.CompletedPass, value: fmt.Sprintf(
			`{"id":"u-%d","batch_id":"upstream","profile_id":%q,"task_id":%q,"state":"PASSED"}`, i, task(i, i).ProfileID, task(i, i).TaskID)})
	}
	s.send(records...)
	p := s.start("verdict")
	s.run(1, []string{"follow", "upstream"}, "dead_lettered invalid_event 200", "submitted=200 completed=0 ", "dead_lettered=200 missing=0")
	patch := filepath.Join(t.TempDir(), "patch.json")
	if err := os.WriteFile(patch, []byte(`{"state": "COMPLETED_PASS"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s.run(0, []string{"redrive", "--reason", "invalid_event", "--batch-id", "upstream", "--edit", patch, "--why", "upstream was wrong"}, "chosen=200 redriven=200 failed=0 refused=0 already=0 dismissed=0")
	s.run(0, []string{"follow", "upstream"}, "submitted=200 completed=200 already_complete=0 skipped=0 duplicates=0 dead_lettered=0 missing=0")
	s.checkExplain("u-17", "submitted", "dead_lettered", "redriven", "settled")
	p.stop()
	for i := range n {
		if got := s.api.Completions(task(i, i).ProfileID, task(i, i).TaskID); got != 1 {
			t.Errorf("task %d was completed %d times", i, got)
		}
	}
}
