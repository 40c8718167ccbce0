package service_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"verdict/internal/bulk/rows"
	"verdict/internal/decision"
	"verdict/internal/passfort/sandbox"
)

// TestAFileAsUpstreamTeamsSendItEndsAsItsTruthSays runs ten thousand decisions,
// some broken in ways that occur and some sent twice, through the whole service,
// and compares with what was worked out independently of any code.
func TestAFileAsUpstreamTeamsSendItEndsAsItsTruthSays(t *testing.T) {
	const path = "../../examples/decisions-10k.csv"
	var want struct {
		Decisions, Completed, Duplicate, Tasks int
		DeadLetters                            map[string]int `json:"dead_letters"`
		LastStateSHA256                        string         `json:"last_state_sha256"`
	}
	truth, err := os.ReadFile(path + ".expected.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(truth, &want); err != nil {
		t.Fatal(err)
	}
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
	var values []rows.Row
	for {
		row, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, row)
	}
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		// The bubble's clock begins in 2000, when nothing in the file has
		// expired; the file's own time is 2026.
		time.Sleep(time.Until(time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)))
		var records []outgoing
		for _, row := range values {
			records = append(records, outgoing{topic: w.cfg.Kafka.Topics.Decisions, key: string(row.Key), value: string(row.Value)})
		}
		for chunk := range slices.Chunk(records, 500) { // a batch has to fit the broker's limit
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
		if counts["completed"] != want.Completed || counts["duplicate"] != want.Duplicate || len(values) != want.Decisions {
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
