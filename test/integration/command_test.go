package integration

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// command returns a command of the program, ready to be started.
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

// run runs a command and returns its last line on standard output. It checks the exit
// status, and that the output contains every text in wants.
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
			s.t.Errorf("verdict %s does not print %q", args[0], want)
		}
	}
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	return lines[len(lines)-1]
}

// killAt runs a command and kills it when topic has n more records.
func (s *scene) killAt(topic string, n int, args ...string) {
	s.t.Helper()
	before := s.count(topic)
	cmd, stdout, stderr := s.command(args...)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	await(s.t, fmt.Sprintf("verdict %s writes records", args[0]), func() bool { return s.count(topic) >= before+n })
	if err := cmd.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		s.t.Fatalf("verdict %s ended before it was killed: %s%s", args[0], stdout, stderr)
	}
	s.t.Logf("verdict %s: killed after %d records", strings.Join(args, " "), s.count(topic)-before)
}

// checkExplain checks that explain prints events of these kinds about a subject, ordered
// by time, beside the commands that touched it.
func (s *scene) checkExplain(subject string, kinds ...string) {
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
			s.t.Errorf("explain %s is not ordered by time:\n%s", subject, stdout)
		}
		last = event.Time
		if event.Event != "command" {
			got = append(got, event.Event)
		}
	}
	if strings.Join(got, " ") != strings.Join(kinds, " ") {
		s.t.Errorf("explain %s prints %s, want %s:\n%s", subject, got, kinds, stdout)
	}
}

// reportRows reads a report and returns its rows by task ID.
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

// checkRows checks each row of a report, in which row i is about task(i, i).
func checkRows(t *testing.T, got map[string]map[string]string, rows int, want func(i int) (outcome, reason, redrives string)) {
	t.Helper()
	if len(got) != rows {
		t.Errorf("the report has %d rows, want %d", len(got), rows)
	}
	for i := range rows {
		row := got[task(i, i).TaskID]
		outcome, reason, redrives := want(i)
		if row["outcome"] != outcome || row["reason"] != reason || row["redrives"] != redrives {
			t.Errorf("the report has %[2]v for row %[1]d, want %[3]s, %[4]s, %[5]s", i, row, outcome, reason, redrives)
		}
	}
}
