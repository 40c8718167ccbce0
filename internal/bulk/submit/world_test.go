package submit_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/bulk/bulktest"
	"verdict/internal/bulk/rows"
	"verdict/internal/bulk/submit"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

// submitWorld is a Kafka cluster, a file, and a machine to submit it from.
type submitWorld struct {
	t       *testing.T
	cluster *embedded.Cluster
	network *embedded.Network
	here    *machine
	file    string
	rows    int
	check   rows.CheckOptions
	log     *lockedBuffer
	runs    atomic.Int64 // started so far
}

const laneTopic = "decisions"

// The topics of the ledger, and its group.
const (
	controlTopic = "control"
	auditTopic   = "audit"
	group        = "verdict"
)

func inSubmitWorld(t *testing.T, n int, test func(t *testing.T, w *submitWorld)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &submitWorld{t: t, network: new(embedded.Network), rows: n, log: new(lockedBuffer)}
		var err error
		w.cluster, err = embedded.Start(embedded.Options{Topics: map[string]int{laneTopic: 3}, Listen: w.network.Listen, Brokers: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer w.cluster.Close()
		w.here = w.machine("here")
		defer w.here.connection.Close()
		w.file = filepath.Join(t.TempDir(), "decisions.jsonl")
		w.write(w.file, n, 1)
		w.check = rows.CheckOptions{MaxFindings: 5, TempDir: t.TempDir()}
		test(t, w)
	})
}

// machine is where a submit runs.
type machine struct {
	world      *submitWorld
	host       string
	wire       *wire
	connection *broker.Connection
}

// machine returns another machine. The caller closes its connection.
func (w *submitWorld) machine(host string) *machine {
	w.t.Helper()
	m := &machine{world: w, host: host, wire: &wire{network: w.network}}
	var err error
	m.connection, err = broker.NewConnection(broker.Options{Brokers: w.cluster.Addrs(), DialFunc: m.wire.dial})
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// submit checks the file and submits it from here, with changed options.
func (w *submitWorld) submit(ctx context.Context, change ...func(*submit.Options)) (submit.Summary, error) {
	w.t.Helper()
	return w.here.submit(ctx, change...)
}

// submit checks the file and submits it with changed options. Each call is a run of its own.
func (m *machine) submit(ctx context.Context, change ...func(*submit.Options)) (submit.Summary, error) {
	w := m.world
	w.t.Helper()
	in, err := rows.Open(ctx, []string{w.file}, nil, w.t.TempDir())
	if err != nil {
		return submit.Summary{}, err
	}
	defer in.Close()
	batch, err := rows.Check(w.t.Context(), in, w.check)
	if err != nil {
		w.t.Error(err)
		return submit.Summary{}, err
	}
	defer batch.Close()
	o := submit.Options{
		Ledger: store.Options{
			Connection: m.connection, Control: controlTopic, Audit: auditTopic, Group: group,
			Author: ledger.Author{Actor: "somebody", Host: m.host, Run: fmt.Sprint(m.host, "-", w.runs.Add(1)), Command: "submit", Why: "because"},
		},
		Topic: laneTopic, ChunkRows: 100, Log: slog.New(slog.NewTextHandler(w.log, nil)),
	}
	for _, c := range change {
		c(&o)
	}
	return submit.Submit(ctx, batch, o)
}

// rate changes options to send so many decisions a second.
func rate(perSecond float64) func(*submit.Options) {
	return func(o *submit.Options) { o.Rate = perSecond }
}

// write writes a file of n valid decisions, each on a task of its own.
func (w *submitWorld) write(path string, n int, seed uint64) {
	w.t.Helper()
	if err := os.WriteFile(path, []byte(bulktest.DecisionLines(w.t, n, seed)), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// ledger returns the ledger.
func (w *submitWorld) ledger() *ledger.State {
	w.t.Helper()
	state, err := store.Read(w.t.Context(), store.Options{Connection: w.here.connection, Control: controlTopic, Group: group}, func(r *ledger.Refused) { w.t.Error(r) })
	if err != nil {
		w.t.Fatal(err)
	}
	return state
}

// theBatch returns the only batch of the ledger.
func (w *submitWorld) theBatch() ledger.Batch {
	w.t.Helper()
	var found []ledger.Batch
	for _, e := range w.ledger().Of(ledger.KindBatch) {
		found = append(found, *e.Batch)
	}
	if len(found) != 1 {
		w.t.Fatalf("the ledger has %d batches, want 1", len(found))
	}
	return found[0]
}

// lines counts how often each line of each batch is in the topic.
func (w *submitWorld) lines() map[decision.BatchPlace]int {
	w.t.Helper()
	known := make(map[string][]string)
	for key, e := range w.ledger().Of(ledger.KindBatch) {
		known[key.Name] = e.Batch.Runs
		if e.Batch.FirstEdition {
			known[key.Name] = append(known[key.Name], "")
		}
	}
	seen := make(map[decision.BatchPlace]int)
	last := make(map[string]int64)
	err := w.here.connection.Scan(w.t.Context(), broker.ScanOptions{Topic: laneTopic}, func(rec decision.Record) error {
		place, ok := decision.BatchPlaceOf(rec.Headers)
		run := ""
		for _, h := range rec.Headers {
			if h.Key == decision.HeaderRun {
				run = string(h.Value)
			}
		}
		if !ok || !slices.Contains(known[place.ID], run) {
			w.t.Errorf("%v has no place in a batch, or its run %q is not one of %v", rec.Origin(), run, known[place.ID])
		}
		d, err := decision.Decode(&rec)
		if err != nil || d.BatchID == "" || string(rec.Key) != d.Task.ProfileID {
			w.t.Errorf("%v: %s: %v", rec.Origin(), rec.Value, err)
		}
		seen[place]++
		profile := place.ID + string(rec.Key)
		if place.Line < last[profile] {
			w.t.Errorf("line %d of %s is after line %d of the same profile", place.Line, place.ID, last[profile])
		}
		last[profile] = place.Line
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return seen
}

// checkOnce checks that each row is in the topic once and nothing else is, and that the
// ledger says so.
func (w *submitWorld) checkOnce() {
	w.t.Helper()
	seen := w.lines()
	ids := map[string]bool{}
	lines := map[int64]int{}
	for place, n := range seen {
		ids[place.ID] = true
		lines[place.Line] += n
		if place.Size != int64(w.rows) {
			w.t.Errorf("%+v: want a size of %d", place, w.rows)
		}
	}
	missing, twice := 0, 0
	for i := range w.rows {
		switch n := lines[int64(i+1)]; {
		case n == 0:
			missing++
		case n > 1:
			twice++
		}
	}
	if missing > 0 || twice > 0 || len(ids) != 1 || len(lines) != w.rows {
		w.t.Errorf("%d rows missing, %d there more than once; batches %v, %d lines\nlog: %s", missing, twice, ids, len(lines), w.log)
	}
	if b := w.theBatch(); b.Ended.IsZero() || b.Done != int64(w.rows) || b.Sent != int64(w.rows) {
		w.t.Errorf("the ledger says %+v", b)
	}
}

// acts returns what the audit topic says was done, in one line.
func (w *submitWorld) acts() string {
	w.t.Helper()
	var did []string
	if err := w.here.connection.Scan(w.t.Context(), broker.ScanOptions{Topic: auditTopic}, func(rec decision.Record) error {
		act, err := ledger.DecodeAct(rec.Value)
		if err != nil || act.Actor != "somebody" || act.Why != "because" || act.At.IsZero() {
			w.t.Errorf("act %+v, %v", act, err)
		}
		did = append(did, fmt.Sprintf("%s %s (%s of %s sent)", act.Host, act.Details["did"], act.Details["sent"], act.Details["decisions"]))
		return nil
	}); err != nil {
		w.t.Error(err)
	}
	return strings.Join(did, ", ")
}

// lockedBuffer is a log that several goroutines write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
