package verify_test

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"verdict/internal/bulk/bulktest"
	"verdict/internal/bulk/verify"
	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

func TestVerifyFindsWhatAPersonChanged(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(w *world) {
		w.options.Report = w.options.Checkpoint + ".csv"
		w.settled(50)
		w.mustRun("tasks=50 same=50 differ=0 gone=0 unreadable=0 unsettled=0 skipped=0 dead=0 calls=50")
		w.change(task(w, 7), decision.CompletedFail)
		w.change(task(w, 9), decision.Incomplete)
		w.fail(func(c sandbox.Call) sandbox.Fault {
			if c.TaskID == task(w, 3).TaskID {
				return sandbox.Refusal(http.StatusNotFound)
			}
			return sandbox.Fault{}
		})
		w.mustRun("tasks=50 same=47 differ=2 gone=1 unreadable=0 unsettled=0 skipped=0 dead=0 calls=50")
		want := []string{"00000003 COMPLETED_PASS gone d-3 3", "00000007 COMPLETED_PASS COMPLETED_FAIL d-7 7", "00000009 COMPLETED_PASS INCOMPLETE d-9 9"}
		if !slices.Equal(w.found, want) {
			w.Errorf("found %q", w.found)
		}
		rows := readReport(w.T, w.options.Report)
		if len(rows) != 4 || rows[0][3] != "found" || !slices.ContainsFunc(rows, func(r []string) bool {
			return r[1] == task(w, 7).TaskID && r[3] == "COMPLETED_FAIL" && r[5] == "d-7" && r[6] == "7" && r[7] == bulktest.BackfillTopic
		}) {
			w.Errorf("report %q", rows)
		}
		if _, err := os.Stat(w.options.Checkpoint); !errors.Is(err, os.ErrNotExist) {
			w.Errorf("the checkpoint is left behind: %v", err)
		}
	})
}

func readReport(t *testing.T, path string) [][]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestVerifyExpectsTheLastDecisionThatWasCarriedOut has one task with several decisions, and
// decisions that left nothing to compare.
func TestVerifyExpectsTheLastDecisionThatWasCarriedOut(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(w *world) {
		w.settled(1)
		fails := bulktest.InBatch(bulktest.BackfillTopic, "spring", 1, 6)
		fails.Value = []byte(strings.NewReplacer("COMPLETED_PASS", "COMPLETED_FAIL", `"d-1"`, `"d-2"`).Replace(string(fails.Value)))
		fails.Headers = decision.BatchPlace{ID: "spring", Line: 2, Size: 6}.Headers()
		w.Put(fails)
		for i := 3; i <= 6; i++ {
			w.Put(bulktest.InBatch(bulktest.BackfillTopic, "spring", i, 6))
		}
		for _, rec := range w.All(bulktest.BackfillTopic) {
			switch d := bulktest.MustDecode(w, rec); d.ID {
			case "d-2":
				w.settle(rec)
			case "d-3":
				w.Settle(rec, decision.Skipped, "")
			case "d-4":
				w.Settle(rec, decision.Duplicate, "")
			case "d-5":
				w.Settle(rec, "", decision.Rejected)
			}
		}
		w.mustRun("tasks=1 same=1 differ=0 gone=0 unreadable=0 unsettled=1 skipped=2 dead=1 calls=1")
		w.change(task(w, 1), decision.CompletedPass) // as the first decision left it
		w.mustRun("tasks=1 same=0 differ=1 gone=0 unreadable=0 unsettled=1 skipped=2 dead=1 calls=1")
		if want := []string{"00000001 COMPLETED_FAIL COMPLETED_PASS d-2 2"}; !slices.Equal(w.found, want) {
			w.Errorf("found %q", w.found)
		}
	})
}

// TestVerifyKnowsABatchByItsRuns has a record that names the batch, and that none of its runs
// wrote.
func TestVerifyKnowsABatchByItsRuns(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(w *world) {
		w.Put(bulktest.InBatch(bulktest.BackfillTopic, "spring", 1, 2)) // before it began
		for i, run := range map[int]string{2: "ours", 3: "theirs"} {
			rec := bulktest.InBatch(bulktest.BackfillTopic, "spring", i, 2)
			rec.Headers = append(rec.Headers, decision.Header{Key: decision.HeaderRun, Value: []byte(run)})
			w.Put(rec)
		}
		named := bulktest.Named(bulktest.BackfillTopic, "spring", 4)
		w.Put(named)
		for _, rec := range w.All(bulktest.BackfillTopic) {
			w.settle(rec)
		}
		w.options.Follow.Decisions = []string{bulktest.BackfillTopic}
		w.options.Follow.Runs = []string{"ours"}
		w.mustRun("tasks=1 same=1 differ=0 gone=0 unreadable=0 unsettled=1 skipped=0 dead=0 calls=1")
	})
}

func TestVerifyKeepsItsRate(t *testing.T) {
	inWorld(t, sandbox.Options{Latency: 300 * time.Millisecond}, func(w *world) {
		w.settled(40)
		w.mustRun("tasks=40 same=40 differ=0 gone=0 unreadable=0 unsettled=0 skipped=0 dead=0 calls=40")
		calls := w.began()
		slices.SortFunc(calls, time.Time.Compare)
		for i := 1; i < len(calls); i++ {
			if gap := calls[i].Sub(calls[i-1]); gap < 99*time.Millisecond {
				w.Fatalf("calls %d and %d are %v apart, at 10 per second", i-1, i, gap)
			}
		}
		// And it is used: four calls of 300 ms in flight are enough for it.
		if took := calls[39].Sub(calls[0]); took > 4*time.Second {
			w.Errorf("40 calls took %v", took)
		}
	})
}

// TestVerifyWaitsOut429s has a limit below its rate.
func TestVerifyWaitsOut429s(t *testing.T) {
	inWorld(t, sandbox.Options{RateLimit: 2, Burst: 1}, func(w *world) {
		w.settled(20)
		line, err := w.run()
		if err != nil || !strings.HasPrefix(line, "tasks=20 same=20 ") {
			w.Errorf("%s, %v", line, err)
		}
		if calls := len(w.began()); calls > 80 {
			w.Errorf("%d calls for 20 tasks", calls)
		}
	})
}

// TestVerifyHonoursRetryAfter has an API that is away for ten minutes.
func TestVerifyHonoursRetryAfter(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(w *world) {
		w.settled(8)
		start := time.Now()
		w.fail(func(c sandbox.Call) sandbox.Fault {
			if c.Time.Sub(start) < 9*time.Minute {
				f := sandbox.Refusal(http.StatusServiceUnavailable)
				f.Header = http.Header{"Retry-After": {"120"}}
				return f
			}
			return sandbox.Fault{}
		})
		line, err := w.run()
		if err != nil || !strings.HasPrefix(line, "tasks=8 same=8 ") {
			w.Errorf("%s, %v", line, err)
		}
		if calls := len(w.began()); calls > 60 {
			w.Errorf("%d calls for 8 tasks", calls)
		}
	})
}

// TestVerifyEndsWhenTheAPIDoesNot has an API that never works, and then one task of which it
// never says anything.
func TestVerifyEndsWhenTheAPIDoesNot(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(w *world) {
		w.settled(6)
		w.fail(func(sandbox.Call) sandbox.Fault { return sandbox.Fault{Do: sandbox.Answer, Status: 500} })
		if line, err := w.run(); err == nil || !strings.Contains(err.Error(), "the API has failed for 1") {
			w.Errorf("%s, %v", line, err)
		}
		w.fail(func(c sandbox.Call) sandbox.Fault {
			if c.TaskID == task(w, 4).TaskID {
				return sandbox.Fault{Do: sandbox.Answer, Status: 500}
			}
			return sandbox.Fault{}
		})
		line, err := w.run()
		if err != nil || !strings.HasPrefix(line, "tasks=6 same=5 differ=0 gone=0 unreadable=1 ") {
			w.Errorf("%s, %v", line, err)
		}
		w.fail(func(sandbox.Call) sandbox.Fault { return sandbox.Refusal(http.StatusTooManyRequests) })
		if line, err := w.run(); err == nil || !strings.Contains(err.Error(), "throttled every call") {
			w.Errorf("%s, %v", line, err)
		}
	})
}

func TestVerifyStopsAtARefusedKey(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(w *world) {
		w.settled(30)
		w.api.SetKey("another")
		_, err := w.run()
		if err == nil || !strings.Contains(err.Error(), "the API refuses the key") || !strings.Contains(err.Error(), "api.key") {
			w.Errorf("%v", err)
		}
		if calls := len(w.began()); calls > 4 {
			w.Errorf("%d calls with a refused key", calls)
		}
	})
}

// TestVerifyTellsATaskFromAMissingRight has one task that may not be read, and then a key
// that may read none. Once it may, every task is compared.
func TestVerifyTellsATaskFromAMissingRight(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(w *world) {
		w.settled(60)
		one := task(w, 5).TaskID
		w.fail(func(c sandbox.Call) sandbox.Fault {
			if c.TaskID == one {
				return sandbox.Refusal(http.StatusForbidden)
			}
			return sandbox.Fault{}
		})
		w.mustRun("tasks=60 same=59 differ=0 gone=0 unreadable=1 unsettled=0 skipped=0 dead=0 calls=60")
		var n atomic.Int64
		w.fail(func(sandbox.Call) sandbox.Fault {
			if n.Add(1) > 10 {
				return sandbox.Refusal(http.StatusForbidden)
			}
			return sandbox.Fault{}
		})
		if _, err := w.run(); err == nil || !strings.Contains(err.Error(), "the right to read tasks") {
			w.Errorf("%v", err)
		}
		w.fail(nil)
		line, err := w.run()
		if err != nil || !strings.HasPrefix(line, "tasks=60 same=60 differ=0 gone=0 unreadable=0 ") {
			w.Errorf("%s, %v", line, err)
		}
	})
}

// TestVerifyGoesOnWhereItStopped is stopped twice; together the runs ask for each task once,
// but for those in flight.
func TestVerifyGoesOnWhereItStopped(t *testing.T) {
	inWorld(t, sandbox.Options{Latency: 200 * time.Millisecond}, func(w *world) {
		w.options.Report = w.options.Checkpoint + ".csv"
		w.settled(100)
		for i := range 100 {
			if i%3 == 0 {
				w.change(task(w, i+1), decision.Incomplete)
			}
		}
		for range 2 {
			ctx, cancel := context.WithTimeout(w.Context(), 3*time.Second)
			s, err := verify.Verify(ctx, w.options)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) || s.Tasks == 0 {
				w.Fatalf("%s, %v", lineOf(s), err)
			}
			// As if it had been killed between a row and its checkpoint.
			appendTo(w.T, w.options.Report, strings.Repeat("a row\n", 1000))
		}
		line, err := w.run()
		if err != nil || !strings.HasPrefix(line, "tasks=100 same=66 differ=34 gone=0 ") {
			w.Errorf("%s, %v", line, err)
		}
		if n := len(w.began()); n > 100+2*4 {
			w.Errorf("%d calls for 100 tasks", n)
		}
		if slices.Sort(w.found); len(w.found) != 34 || len(slices.Compact(w.found)) != 34 {
			w.Errorf("%d differences were printed", len(w.found))
		}
		if rows := readReport(w.T, w.options.Report); len(rows) != 35 {
			w.Errorf("%d rows in the report", len(rows))
		}
	})
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// TestVerifyBeginsAgainIfTheBatchChanged has a decision that is carried out between two runs.
func TestVerifyBeginsAgainIfTheBatchChanged(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(w *world) {
		w.settled(30)
		stop := func() {
			ctx, cancel := context.WithTimeout(w.Context(), 2900*time.Millisecond) // before the last task
			defer cancel()
			if s, err := verify.Verify(ctx, w.options); !errors.Is(err, context.DeadlineExceeded) {
				w.Fatalf("%s, %v", lineOf(s), err)
			}
		}
		w.options.Rate = 9.9
		stop()
		for i := range 30 { // another decision on each task
			rec := bulktest.InBatch(bulktest.BackfillTopic, "spring", 31+i, 60)
			rec.Value, rec.Key = []byte(strings.NewReplacer("PASS", "FAIL", `"d-`, `"again-`).Replace(string(bulktest.Decision("", i+1).Value))), bulktest.Decision("", i+1).Key
			w.Put(rec)
		}
		for _, rec := range w.All(bulktest.BackfillTopic) {
			if d := bulktest.MustDecode(w, rec); d.State == decision.CompletedFail {
				w.settle(rec)
			}
		}
		before := len(w.began())
		line, err := w.run()
		if err != nil || !strings.HasPrefix(line, "tasks=30 same=30 ") || len(w.found) > 0 {
			w.Errorf("%s, %v, %q", line, err, w.found)
		}
		if n := len(w.began()) - before; n != 30 {
			w.Errorf("%d tasks were asked for, want all 30 again", n)
		}
	})
}

func TestCheckpointOfAnotherBatchIsRefused(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(w *world) {
		w.settled(20)
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		if _, err := verify.Verify(ctx, w.options); !errors.Is(err, context.DeadlineExceeded) {
			w.Fatal(err)
		}
		refused := func(o verify.Options, why string) {
			w.Helper()
			if _, err := verify.Verify(w.Context(), o); err == nil || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), o.Checkpoint) {
				w.Errorf("%v, want %s", err, why)
			}
		}
		for _, change := range []func(o *verify.Options){
			func(o *verify.Options) { o.Scope = "another API" },
			func(o *verify.Options) { o.Follow.BatchID = "autumn" },
			func(o *verify.Options) { o.Follow.Runs = []string{"x"} },
		} {
			o := w.options
			change(&o)
			refused(o, "another batch, topic or API")
		}
		o := w.options
		o.Report = "other.csv"
		refused(o, "another --report")
		for _, text := range []string{"", "x", "{}", strings.Repeat("[", 1<<20)} {
			if err := os.WriteFile(w.options.Checkpoint, []byte(text), 0o600); err != nil {
				w.Fatal(err)
			}
			refused(w.options, "is not a checkpoint")
		}
	})
}

// TestReportIsSafeToOpen has a decision whose ID is a formula.
func TestReportIsSafeToOpen(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(w *world) {
		w.options.Report = w.options.Checkpoint + ".csv"
		rec := bulktest.InBatch(bulktest.BackfillTopic, "spring", 1, 1)
		rec.Value = []byte(strings.Replace(string(rec.Value), "d-1", "=HYPERLINK(1)", 1))
		w.Put(rec)
		w.settle(w.All(bulktest.BackfillTopic)[0])
		w.change(task(w, 1), decision.Incomplete)
		w.mustRun("tasks=1 same=0 differ=1 gone=0 unreadable=0 unsettled=0 skipped=0 dead=0 calls=1")
		if rows := readReport(w.T, w.options.Report); rows[1][5] != "'=HYPERLINK(1)" {
			w.Errorf("%q", rows)
		}
	})
}

// TestVerifyRepeatsNoTextOfTheAPI has an answer that names somebody.
func TestVerifyRepeatsNoTextOfTheAPI(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(w *world) {
		var details []string
		w.options.Difference = func(d verify.Difference) error {
			details = append(details, fmt.Sprint(d))
			return nil
		}
		w.settled(1)
		w.fail(func(sandbox.Call) sandbox.Fault {
			return sandbox.Fault{Do: sandbox.Answer, Status: http.StatusUnprocessableEntity, Body: `{"errors":[{"code":201,"message":"Jane Doe"}]}`}
		})
		w.mustRun("tasks=1 same=0 differ=0 gone=0 unreadable=1 unsettled=0 skipped=0 dead=0 calls=1")
		if text := strings.Join(details, "\n"); strings.Contains(text, "Jane") || !strings.Contains(text, passfort.KindRejected.String()) {
			w.Errorf("%s", text)
		}
	})
}
