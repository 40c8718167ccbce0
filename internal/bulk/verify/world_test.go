package verify_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"verdict/internal/bulk/bulktest"
	"verdict/internal/bulk/follow"
	"verdict/internal/bulk/verify"
	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

// world is a Kafka and an API in a bubble.
type world struct {
	*bulktest.Kafka
	api     *sandbox.Sandbox
	client  *passfort.Client
	options verify.Options
	found   []string // differences, as text

	mu     sync.Mutex
	calls  []time.Time // of get_task and whoami
	faults func(sandbox.Call) sandbox.Fault
}

// inWorld runs a test in a bubble. Every batch is called "spring".
func inWorld(t *testing.T, o sandbox.Options, test func(w *world)) {
	t.Helper()
	dir := t.TempDir()
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		w := &world{Kafka: b}
		o.Observe = func(c sandbox.Call) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.calls = append(w.calls, c.Time)
		}
		o.Fault = func(c sandbox.Call) sandbox.Fault {
			w.mu.Lock()
			faults := w.faults
			w.mu.Unlock()
			if faults == nil {
				return sandbox.Fault{}
			}
			return faults(c)
		}
		var err error
		if w.api, err = sandbox.New(o); err != nil {
			b.Fatal(err)
		}
		listener, err := b.Network.Listen("tcp", "localhost:0")
		if err != nil {
			b.Fatal(err)
		}
		server := &http.Server{Handler: w.api}
		var serving sync.WaitGroup
		serving.Go(func() { _ = server.Serve(listener) })
		defer serving.Wait()
		defer server.Close()
		w.client, err = passfort.New(passfort.Options{
			BaseURL: "http://" + listener.Addr().String() + "/4.0", Key: func() string { return sandbox.DefaultKey },
			Timeout: time.Minute, MaxConnections: 4, DialContext: b.Network.DialContext,
		})
		if err != nil {
			b.Fatal(err)
		}
		defer w.client.Close()
		w.options = verify.Options{
			Follow: follow.Options{
				Connection: b.Conn, BatchID: "spring", Decisions: []string{bulktest.LiveTopic, bulktest.BackfillTopic},
				Results: bulktest.ResultsTopic, DeadLetters: bulktest.LettersTopic,
			},
			API: w.client, Rate: 10, Checkpoint: filepath.Join(dir, "spring.verify"), Log: slog.New(slog.DiscardHandler), TempDir: dir,
			Difference: func(d verify.Difference) error {
				w.found = append(w.found, fmt.Sprintf("%s %s %s %s %d", d.Task.TaskID[:8], d.Expected, d.Found, d.DecisionID, d.Line))
				return nil
			},
		}
		test(w)
	})
}

// settled submits n decisions, and settles them as the service would.
func (w *world) settled(n int) {
	w.Helper()
	records := make([]decision.Record, n)
	for i := range n {
		records[i] = bulktest.InBatch(bulktest.BackfillTopic, "spring", i+1, n)
	}
	w.Put(records...)
	for _, rec := range w.All(bulktest.BackfillTopic) {
		w.settle(rec)
	}
}

// settle completes the task of a record's decision.
func (w *world) settle(rec decision.Record) {
	w.Helper()
	d := bulktest.MustDecode(w, rec)
	w.change(d.Task, d.State)
	w.Settle(rec, decision.Completed, "")
}

// change puts a task into a state, as a person would.
func (w *world) change(t decision.Task, s decision.State) {
	w.Helper()
	if !w.api.SetState(t.ProfileID, t.TaskID, s) {
		w.Fatalf("no such task: %v", t)
	}
}

// task returns the task of the ith decision.
func task(t testing.TB, i int) decision.Task {
	return bulktest.MustDecode(t, bulktest.Decision("", i)).Task
}

// fail makes calls fail from now on.
func (w *world) fail(how func(sandbox.Call) sandbox.Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = how
}

// run verifies, and returns the line of the summary.
func (w *world) run() (line string, err error) {
	w.Helper()
	s, err := verify.Verify(w.Context(), w.options)
	slices.Sort(w.found) // the order is that of hashes
	return lineOf(s), err
}

func lineOf(s verify.Summary) string {
	return fmt.Sprintf("tasks=%d same=%d differ=%d gone=%d unreadable=%d unsettled=%d skipped=%d dead=%d calls=%d",
		s.Tasks, s.Same, s.Differ, s.Gone, s.Unreadable, s.Unsettled, s.Skipped, s.DeadLettered, s.Calls)
}

// mustRun is run for a run that succeeds.
func (w *world) mustRun(want string) {
	w.Helper()
	if got, err := w.run(); err != nil || got != want {
		w.Errorf("%v\ngot  %s\nwant %s", err, got, want)
	}
}

// began returns when calls arrived.
func (w *world) began() []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}
