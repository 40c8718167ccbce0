package service_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/bulk/rows"
	"verdict/internal/decision"
	"verdict/internal/passfort/sandbox"
)

func TestDecisionsRunOnceInTheOrderOfTheirTask(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{Latency: 20 * time.Millisecond, Jitter: 30 * time.Millisecond}, func(t *testing.T, w *world) {
		r := rand.New(rand.NewPCG(1, 2))
		zipf := rand.NewZipf(r, 1.3, 1, 400)
		var records []outgoing
		for range 3000 {
			n := int(zipf.Uint64())
			records = append(records, decisionOn(w.cfg.Kafka.Topics.Decisions, task(n/3, n), anyState(r)))
		}
		w.send(records...)
		m := w.start()
		w.awaitAll(10 * time.Minute)
		m.stop()
		w.checkOrder(w.checkSettledOnce())
		w.checkCommitted()
		if got := len(w.completions()); got != 3000 {
			t.Errorf("%d calls for 3000 decisions", got)
		}
	})
}

func TestTasksOfOnePartitionRunInParallel(t *testing.T) {
	inWorld(t, sandbox.Options{Latency: time.Second}, func(t *testing.T, w *world) {
		var records []outgoing
		for i := range 64 {
			records = append(records, decisionOn(w.cfg.Kafka.Topics.Decisions, task(7, i), decision.CompletedPass)) // on one profile, so in one partition
		}
		m := w.start()
		m.awaitJoined()
		time.Sleep(2 * time.Second) // whoami is asked first
		began := time.Now()
		w.send(records...)
		w.awaitAll(time.Minute)
		if took := time.Since(began); took > 1500*time.Millisecond {
			t.Errorf("64 calls of 1s took %v with 64 workers", took)
		}
		m.stop()
		if got := w.api.Stats().MaxInFlight; got != 64 {
			t.Errorf("%d calls in flight, want 64", got)
		}
	})
}

func TestBrokenRecordsAreDeadLettered(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		topic := w.cfg.Kafka.Topics.Decisions
		good := task(1, 1)
		broken := map[string]string{
			"empty":       "",
			"not JSON":    "{",
			"not object":  "[1]",
			"no fields":   "{}",
			"path":        value(decision.Task{ProfileID: good.ProfileID, TaskID: "../../whoami"}, decision.CompletedPass),
			"state":       value(good, "COMPLETED_PASSED"),
			"twice":       value(good, decision.CompletedPass, `"state":"COMPLETED_FAIL"`),
			"control":     value(good, decision.CompletedPass, `"id":"bell\u0007"`),
			"not UTF-8":   "{\"id\":\"\xff\"}",
			"expired":     value(good, decision.CompletedPass, `"expires_at":"1999-01-01T00:00:00Z"`),
			"over 64 KiB": value(good, decision.CompletedPass, fmt.Sprintf(`"x":%q`, make([]byte, 20<<10))),
		}
		var records []outgoing
		for name, v := range broken {
			records = append(records, outgoing{topic: topic, key: name, value: v})
			records = append(records, decisionOn(topic, task(2, len(records)), decision.CompletedPass))
		}
		w.send(records...)
		m := w.start()
		w.awaitAll(time.Minute)
		m.stop()
		outcomes := w.checkSettledOnce()
		w.checkCommitted()
		for _, d := range w.deadLetters() {
			name := string(d.Original.Key)
			want := decision.InvalidEvent
			if name == "expired" {
				want = decision.Expired
			}
			if d.Reason != want || string(d.Original.Value) != broken[name] || d.Error == "" {
				t.Errorf("%s: dead letter %s %q", name, d.Reason, d.Error)
			}
			delete(broken, name)
		}
		if len(broken) > 0 {
			t.Errorf("no dead letter for %v", broken)
		}
		if len(w.completions()) != len(outcomes)/2 {
			t.Errorf("%d calls for %d good decisions", len(w.completions()), len(outcomes)/2)
		}
	})
}

func TestRepeatedDecisionRunsOnce(t *testing.T) {
	inWorld(t, sandbox.Options{Latency: 10 * time.Millisecond}, func(t *testing.T, w *world) {
		once := decisionOn(w.cfg.Kafka.Topics.Decisions, task(1, 1), decision.CompletedPass, `"id":"d-1"`)
		other := decisionOn(w.cfg.Kafka.Topics.Decisions, task(1, 1), decision.CompletedFail, `"id":"d-2"`)
		m := w.start()
		w.send(once, once, other, once)
		w.awaitAll(time.Minute)
		m.stop()
		w.checkSettledOnce()
		if got := m.metric("verdict_decisions_total", "outcome", "duplicate"); got != 1 {
			t.Errorf("%v duplicates, want the second", got)
		}
		if got := m.metric("verdict_dead_letters_total", "reason", "conflict"); got != 1 {
			t.Errorf("%v conflicts, want the last, which came after another decision", got)
		}
		if got := w.api.State(once.task.ProfileID, once.task.TaskID); got != "COMPLETED_FAIL" {
			t.Errorf("the task is %s", got)
		}
		if got := m.metric("verdict_id_reuse_total"); got != 0 {
			t.Errorf("%v IDs used again", got)
		}
		keys := make(map[string]int)
		for _, r := range w.results() {
			keys[r.DecisionKey]++
		}
		for _, l := range w.deadLetters() {
			keys[l.DecisionKey]++
		}
		if len(keys) != 2 || keys[w.results()[0].DecisionKey] != 3 && keys[w.results()[0].DecisionKey] != 1 {
			t.Errorf("decision keys %v, want one of three records and one of one", keys)
		}
	})
}

// TestReusedIDIsAnotherDecision sends one ID with several tasks and states, and
// from two sources of CloudEvents.
func TestReusedIDIsAnotherDecision(t *testing.T) {
	inWorld(t, sandbox.Options{Latency: 10 * time.Millisecond}, func(t *testing.T, w *world) {
		topic := w.cfg.Kafka.Topics.Decisions
		event := func(source string, n int) outgoing {
			o := decisionOn(topic, task(n, n), decision.CompletedPass)
			for name, value := range map[string]string{"specversion": "1.0", "type": "t", "source": source, "id": "d-1"} {
				o.headers = append(o.headers, kafka.Header{Key: "ce_" + name, Value: []byte(value)})
			}
			return o
		}
		m := w.start()
		w.send(decisionOn(topic, task(1, 1), decision.CompletedPass, `"id":"d-1"`))
		w.awaitAll(time.Minute)
		w.send(
			decisionOn(topic, task(1, 1), decision.CompletedFail, `"id":"d-1"`),
			decisionOn(topic, task(2, 2), decision.CompletedPass, `"id":"d-1"`),
			event("/a", 3), event("/b", 3))
		w.awaitAll(time.Minute)
		if got := m.metric("verdict_id_reuse_total"); got != 4 {
			t.Errorf("verdict_id_reuse_total is %v, want 4", got)
		}
		m.stop()
		keys := make(map[string]bool)
		for at, outcome := range w.checkSettledOnce() {
			if outcome != "completed" {
				t.Errorf("%v ended as %s", at, outcome)
			}
		}
		for _, r := range w.results() {
			keys[r.DecisionKey] = true
		}
		if len(w.completions()) != 5 || len(keys) != 5 {
			t.Errorf("%d calls and the keys %v for 5 decisions", len(w.completions()), keys)
		}
	})
}

// TestUpstreamFileEndsAsExpected sends ten thousand decisions as upstream teams do,
// some broken and some twice, and compares the outcomes with a file that was not
// made by this program.
func TestUpstreamFileEndsAsExpected(t *testing.T) {
	const path = "../../examples/decisions-10k.csv"
	var want struct {
		Decisions, Completed, Duplicate, Tasks int
		DeadLetters                            map[string]int `json:"dead_letters"`
		LastStateSHA256                        string         `json:"last_state_sha256"`
	}
	expected, err := os.ReadFile(path + ".expected.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(expected, &want); err != nil {
		t.Fatal(err)
	}
	sent := readRows(t, path)
	// Some of the decisions have expired by the day on which the file was made.
	made := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	inWorldOf(t, setting{date: made}, func(t *testing.T, w *world) {
		var records []outgoing
		for _, row := range sent {
			records = append(records, outgoing{topic: w.cfg.Kafka.Topics.Decisions, key: string(row.Key), value: string(row.Value)})
		}
		for chunk := range slices.Chunk(records, 500) { // fits the broker's limit for a batch
			w.send(chunk...)
		}
		m := w.start()
		w.awaitAll(time.Hour)
		m.stop()
		w.checkCommitted()
		counts := make(map[string]int)
		for _, outcome := range w.checkSettledOnce() {
			counts[outcome]++
		}
		if counts["completed"] != want.Completed || counts["duplicate"] != want.Duplicate || len(sent) != want.Decisions {
			t.Errorf("outcomes %v, want %+v", counts, want)
		}
		for reason, n := range want.DeadLetters {
			if counts[reason] != n {
				t.Errorf("%s: %d, want %d", reason, counts[reason], n)
			}
		}
		var lines []string
		for task := range w.api.Tasks() {
			lines = append(lines, decision.NewTask(task.ProfileID, task.TaskID).ProfileID+"/"+strings.ToLower(task.TaskID)+"="+string(task.State))
		}
		slices.Sort(lines)
		sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
		if got := hex.EncodeToString(sum[:]); got != want.LastStateSHA256 || len(lines) != want.Tasks {
			t.Errorf("%d tasks end as %s, want %d as %s", len(lines), got, want.Tasks, want.LastStateSHA256)
		}
	})
}

// readRows returns every row of a file.
func readRows(t *testing.T, path string) (all []rows.Row) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	reader, err := rows.NewReader(f, rows.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for {
		row, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, row)
	}
}
