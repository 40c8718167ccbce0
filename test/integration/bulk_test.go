package integration

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort/sandbox"
)

// command is a command of the program's, to be run to its end or killed.
func (s *scene) command(args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	s.t.Helper()
	path, err := binary()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd = exec.CommandContext(s.ctx(), path, args...)
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	cmd.Env, cmd.Stdout, cmd.Stderr = s.env, stdout, stderr
	return cmd, stdout, stderr
}

// run runs a command, wants its exit status and every text in its output, and
// gives its last line on standard output.
func (s *scene) run(status int, args []string, wants ...string) (last string) {
	s.t.Helper()
	cmd, stdout, stderr := s.command(args...)
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		s.t.Fatal(err)
	}
	s.t.Logf("verdict %s: %v\n%s%s", strings.Join(args, " "), cmd.ProcessState, stdout, stderr)
	if got := cmd.ProcessState.ExitCode(); got != status {
		s.t.Fatalf("verdict %s: exit status %d, want %d", args[0], got, status)
	}
	for _, want := range wants {
		if !strings.Contains(stdout.String()+stderr.String(), want) {
			s.t.Errorf("verdict %s does not say %q", args[0], want)
		}
	}
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	return lines[len(lines)-1]
}

// killAt runs a command and kills it once its topic has so many records more.
func (s *scene) killAt(topic string, more int, args ...string) {
	s.t.Helper()
	before := s.count(topic)
	cmd, stdout, stderr := s.command(args...)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	await(s.t, fmt.Sprintf("verdict %s is in the middle", args[0]), func() bool { return s.count(topic) >= before+more })
	if err := cmd.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		s.t.Fatalf("verdict %s had ended before it was killed: %s%s", args[0], stdout, stderr)
	}
	s.t.Logf("verdict %s: killed after %d records", strings.Join(args, " "), s.count(topic)-before)
}

// TestBulk is a bulk job from its file to its last decision as a user runs it,
// with everything that goes wrong on the way: the submit and a redrive are killed,
// the API rejects some decisions, some were sent with a wrong field.
func TestBulk(t *testing.T) {
	t.Parallel()
	const rows, batch = 3000, "spring-review"
	s := newScene(t, setting{api: calm, untouched: true})
	s.env = append(s.env, "VERDICT_KAFKA_TOPICS_CHECK_RESULTS="+s.group+".checks", "VERDICT_PROCESSOR_WORKERS=64")
	s.run(0, []string{"topics", "--partitions", fmt.Sprint(partitions)}, s.topics.backfill)
	await(t, "the topics are there", func() bool {
		return s.settled() == 0 && s.count(s.topics.backfill) == 0 && s.count(s.topics.decisions) == 0
	})

	// Of ten rows one is of a task that the API does not know yet, and one is past
	// its time by mistake.
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
			return sandbox.Fault{Do: sandbox.Answer, Status: http.StatusNotFound}
		}
		return sandbox.Fault{}
	})
	p := s.start("verdict")

	// Submitted, with a kill -9 in the middle.
	s.killAt(s.topics.backfill, 700, "submit", name, "--batch-id", batch, "--rate", "600")
	last := s.run(1, []string{"submit", name, "--batch-id", batch, "--wait", "--report", report},
		"300 decisions are past expires_at already", "dead_lettered task_not_found 300\n", "dead_lettered expired 300\n", "600 dead-lettered of 3,000 decisions")
	if want := "submitted=3000 completed=2400 already_complete=0 skipped=0 duplicates=0 dead_lettered=600 missing=0"; last != want {
		t.Errorf("submit ends with %q, want %q", last, want)
	}
	if n := s.count(s.topics.backfill); n != rows {
		t.Errorf("%d records of %d rows", n, rows)
	}
	s.run(1, []string{"submit", name, "--batch-id", batch}, "submitted=0 earlier=3000 ", "was submitted whole at", "give it another --batch-id")
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

	// The API has learnt of the tasks; their dead letters go back, with a kill -9 in
	// the middle.
	s.setFaults(nil)
	s.run(0, []string{"redrive", "--dry-run", "--batch-id", batch},
		"topic "+s.topics.backfill+" 600", "reason task_not_found 300", "reason expired 300", "chosen=600 redriven=0 failed=0 refused=0 already=0")
	back := []string{"redrive", "--batch-id", batch, "--reason", "task_not_found", "--rate", "60"}
	s.killAt(s.topics.backfill, 100, back...)
	s.run(0, back, "another redrive is running on ", "chosen=", " failed=0 refused=0 already=")
	if n := s.count(s.topics.backfill); n != rows+300 {
		t.Errorf("%d records, of %d rows and 300 that went back", n, rows)
	}
	// The wrong field is taken out.
	patch := filepath.Join(t.TempDir(), "patch.json")
	if err := os.WriteFile(patch, []byte(`{"expires_at": null, "reason": "corrected"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s.run(0, []string{"redrive", "--batch-id", batch, "--edit", patch}, "chosen=300 redriven=300 failed=0 refused=0 already=300")
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
	s.run(0, []string{"redrive", "--batch-id", batch, "--dry-run"}, "chosen=0 redriven=0 failed=0 refused=0 already=600")

	// What became of one of them, by its ID and by its task.
	for _, subject := range []string{batch + "/8", task(7, 7).ProfileID + "/" + task(7, 7).TaskID} { // the header is row 0
		s.explained(subject, "submitted", "dead_lettered", "redriven", "settled")
	}
	await(t, "all is committed", func() bool { return len(s.uncommitted()) == 0 })
	p.stop()

	// Nothing missing, nothing twice: in the topic, and at the API.
	copies := make(map[string]int)
	for _, rec := range s.read(s.topics.backfill) {
		if letter, ok := decision.RedrivenFrom(&rec); ok {
			copies[letter.String()]++
		}
	}
	for letter, n := range copies {
		if n != 1 {
			t.Errorf("%s went back %d times", letter, n)
		}
	}
	if len(copies) != 600 {
		t.Errorf("%d dead letters went back, want 600", len(copies))
	}
	for i := range rows {
		if n := s.api.Completions(task(i, i).ProfileID, task(i, i).TaskID); n != 1 {
			t.Errorf("task %d was completed %d times", i, n)
		}
	}
}

// TestBulkOfAnUpstreamThatSentAWrongField mends what was not sent by submit, and
// so has no rows and no known size, but names its batch in the value.
func TestBulkOfAnUpstreamThatSentAWrongField(t *testing.T) {
	t.Parallel()
	const n = 200
	s := newScene(t, setting{api: calm})
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
	s.run(0, []string{"redrive", "--reason", "invalid_event", "--batch-id", "upstream", "--edit", patch}, "chosen=200 redriven=200 failed=0 refused=0 already=0")
	s.run(0, []string{"follow", "upstream"}, "submitted=200 completed=200 already_complete=0 skipped=0 duplicates=0 dead_lettered=0 missing=0")
	s.explained("u-17", "submitted", "dead_lettered", "redriven", "settled")
	p.stop()
	for i := range n {
		if got := s.api.Completions(task(i, i).ProfileID, task(i, i).TaskID); got != 1 {
			t.Errorf("task %d was completed %d times", i, got)
		}
	}
}

// explained wants what explain tells of a subject to be these kinds of events, in
// the order of time.
func (s *scene) explained(subject string, kinds ...string) {
	s.t.Helper()
	cmd, stdout, stderr := s.command("explain", subject, "--json")
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("explain %s: %v: %s", subject, err, stderr)
	}
	var got []string
	last := time.Time{}
	for line := range strings.Lines(stdout.String()) {
		var event struct {
			Event string
			Time  time.Time
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			s.t.Fatalf("explain %s: %v in %s", subject, err, line)
		}
		if event.Time.Before(last) {
			s.t.Errorf("explain %s is not in the order of time:\n%s", subject, stdout)
		}
		last = event.Time
		got = append(got, event.Event)
	}
	if strings.Join(got, " ") != strings.Join(kinds, " ") {
		s.t.Errorf("explain %s tells %s, want %s:\n%s", subject, got, kinds, stdout)
	}
}

// reportRows reads a report, by the number of the task.
func reportRows(t *testing.T, name string) map[string]map[string]string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]map[string]string)
	for _, cells := range all[1:] {
		row := make(map[string]string)
		for i, cell := range cells {
			row[all[0][i]] = cell
		}
		if rows[row["task_id"]] != nil {
			t.Errorf("the report has task %s twice", row["task_id"])
		}
		rows[row["task_id"]] = row
	}
	return rows
}

func checkRows(t *testing.T, got map[string]map[string]string, rows int, want func(i int) (outcome, reason, redrives string)) {
	t.Helper()
	if len(got) != rows {
		t.Errorf("the report has %d rows, want %d", len(got), rows)
	}
	for i := range rows {
		row := got[task(i, i).TaskID]
		outcome, reason, redrives := want(i)
		if row["outcome"] != outcome || row["reason"] != reason || row["redrives"] != redrives {
			t.Errorf("the report has for row %d %v, want %s, %s, %s", i, row, outcome, reason, redrives)
		}
	}
}
