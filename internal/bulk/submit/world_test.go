package submit_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/bulk/bulktest"
	"verdict/internal/bulk/rows"
	"verdict/internal/bulk/submit"
	"verdict/internal/decision"
)

// submitWorld is a Kafka cluster, a file, and the options to submit it with.
type submitWorld struct {
	t          *testing.T
	cluster    *embedded.Cluster
	network    *embedded.Network
	connection *broker.Connection
	file       string
	rows       int
	options    submit.Options
	check      rows.CheckOptions
	log        *lockedBuffer
}

const laneTopic = "decisions"

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
		w.connection = w.connect()
		defer w.connection.Close()
		w.file = filepath.Join(t.TempDir(), "decisions.jsonl")
		w.write(w.file, n, 1)
		w.check = rows.CheckOptions{MaxFindings: 5, TempDir: t.TempDir()}
		w.options = submit.Options{
			Connection: w.connection, Topic: laneTopic, Group: "verdict", Journal: w.file + ".journal", Host: "here",
			CheckpointRows: 100, Log: slog.New(slog.NewTextHandler(w.log, nil)),
		}
		test(t, w)
	})
}

func (w *submitWorld) connect() *broker.Connection {
	w.t.Helper()
	c, err := broker.NewConnection(broker.Options{Brokers: w.cluster.Addrs(), DialFunc: w.network.DialContext})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// write writes a file of n valid decisions, each on a task of its own.
func (w *submitWorld) write(path string, n int, seed uint64) {
	w.t.Helper()
	if err := os.WriteFile(path, []byte(bulktest.DecisionLines(w.t, n, seed)), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// submit checks the file and submits it with changed options.
func (w *submitWorld) submit(ctx context.Context, change ...func(*submit.Options)) (submit.Summary, error) {
	w.t.Helper()
	in, err := rows.Open(ctx, []string{w.file}, nil, w.t.TempDir())
	if err != nil {
		w.t.Fatal(err)
	}
	defer in.Close()
	batch, err := rows.Check(w.t.Context(), in, w.check)
	if err != nil {
		w.t.Fatal(err)
	}
	defer batch.Close()
	o := w.options
	for _, c := range change {
		c(&o)
	}
	return submit.Submit(ctx, batch, o)
}

// lines counts how often each line of each batch is in the topic.
func (w *submitWorld) lines() map[decision.BatchPlace]int {
	w.t.Helper()
	seen := make(map[decision.BatchPlace]int)
	last := make(map[string]int64)
	err := w.connection.Scan(w.t.Context(), broker.ScanOptions{Topic: laneTopic}, func(rec decision.Record) error {
		place, ok := decision.BatchPlaceOf(rec.Headers)
		if !ok {
			w.t.Errorf("%v has no place in a batch", rec.Origin())
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

// checkOnce checks that each row is in the topic once, and nothing else is.
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
