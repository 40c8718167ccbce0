package backfill_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	backfill "verdict/internal/bulk"
	"verdict/internal/decision"
)

// submitWorld is a Kafka, a file, and the place of its journal.
type submitWorld struct {
	t          *testing.T
	cluster    *embedded.Cluster
	network    *embedded.Network
	connection *broker.Connection
	file       string
	rows       int
	options    backfill.SubmitOptions
	check      backfill.CheckOptions
	log        *lockedBuffer
}

const laneTopic = "decisions"

func inSubmitWorld(t *testing.T, rows int, test func(t *testing.T, w *submitWorld)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &submitWorld{t: t, network: new(embedded.Network), rows: rows, log: new(lockedBuffer)}
		var err error
		w.cluster, err = embedded.Start(embedded.Options{Topics: map[string]int{laneTopic: 3}, Listen: w.network.Listen, Brokers: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer w.cluster.Close()
		w.connection = w.connect()
		defer w.connection.Close()
		w.file = filepath.Join(t.TempDir(), "decisions.jsonl")
		w.write(w.file, rows, 1)
		w.check = backfill.CheckOptions{MaxFindings: 5, TempDir: t.TempDir()}
		w.options = backfill.SubmitOptions{
			Connection: w.connection, Topic: laneTopic, Group: "verdict", Journal: w.file + ".journal", Host: "here",
			Checkpoint: 100, Log: slog.New(slog.NewTextHandler(w.log, nil)),
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

// write makes a file of valid decisions, each on a task of its own.
func (w *submitWorld) write(path string, rows int, seed uint64) {
	w.t.Helper()
	if err := os.WriteFile(path, []byte(decisionLines(w.t, rows, seed)), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func decisionLines(t testing.TB, rows int, seed uint64) string {
	t.Helper()
	g, err := backfill.NewGenerator(backfill.GeneratorOptions{Seed: seed, Repeated: -1, Profiles: 50})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for range rows {
		row, err := g.Next()
		if err != nil {
			t.Fatal(err)
		}
		b.Write(row.Value)
		b.WriteByte('\n')
	}
	return b.String()
}

// submit checks the file and submits it, with the options changed.
func (w *submitWorld) submit(ctx context.Context, change ...func(*backfill.SubmitOptions)) (backfill.Submitted, error) {
	w.t.Helper()
	in, err := backfill.Open(ctx, []string{w.file}, nil, w.t.TempDir())
	if err != nil {
		w.t.Fatal(err)
	}
	defer in.Close()
	batch, err := backfill.Check(w.t.Context(), in, w.check)
	if err != nil {
		w.t.Fatal(err)
	}
	defer batch.Close()
	o := w.options
	for _, c := range change {
		c(&o)
	}
	return backfill.Submit(ctx, batch, o)
}

// lines is how often each line of each batch is in the topic.
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
			w.t.Errorf("line %d of %s is behind line %d of the same profile", place.Line, place.ID, last[profile])
		}
		last[profile] = place.Line
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return seen
}

// checkOnce checks that each row is in the topic once, and nothing else.
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

// lockedBuffer is a log that several goroutines write.
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

func TestASubmitSendsEachRowOnce(t *testing.T) {
	inSubmitWorld(t, 1234, func(t *testing.T, w *submitWorld) {
		var acknowledged atomic.Int64
		began, at := int64(-1), time.Now()
		done, err := w.submit(t.Context(), func(o *backfill.SubmitOptions) {
			o.Acknowledged, o.Begins = &acknowledged, func(n int64) { began = n }
		})
		if err != nil || done.Before != 0 || done.Sent != 1234 || !done.Began.Equal(at) || acknowledged.Load() != 1234 || began != 0 {
			t.Errorf("%+v, %v, %d, %d", done, err, acknowledged.Load(), began)
		}
		w.checkOnce()
		_, err = w.submit(t.Context())
		if sent, ok := errors.AsType[*backfill.AlreadySentError](err); !ok || !strings.Contains(err.Error(), "journal") {
			t.Errorf("the second time: %v, %v", sent, err)
		}
		w.checkOnce()
	})
}

func TestTheRateIsKept(t *testing.T) {
	inSubmitWorld(t, 1000, func(t *testing.T, w *submitWorld) {
		begin := time.Now()
		if _, err := w.submit(t.Context(), func(o *backfill.SubmitOptions) { o.Rate = 100 }); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < 9900*time.Millisecond || took > 12*time.Second {
			t.Errorf("1000 decisions at 100 a second took %v", took)
		}
	})
}

// TestASubmitThatIsStoppedGoesOn stops at random moments, and goes on each time.
func TestASubmitThatIsStoppedGoesOn(t *testing.T) {
	inSubmitWorld(t, 1500, func(t *testing.T, w *submitWorld) {
		r := rand.New(rand.NewPCG(1, 2))
		for stops := 0; ; stops++ {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+r.IntN(500))*time.Millisecond)
			before := len(w.lines())
			done, err := w.submit(ctx, func(o *backfill.SubmitOptions) { o.Rate = 1000 })
			cancel()
			if err == nil {
				if stops < 3 {
					t.Errorf("only %d stops", stops)
				}
				break
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			if done.Sent > 0 && int(done.Before) != before {
				t.Errorf("%d were there, it says %d", before, done.Before)
			}
		}
		w.checkOnce()
	})
}

// TestASubmitThatCrashedGoesOn gives the next submit the journal as it was at a
// random moment before the end, as a crash leaves it.
func TestASubmitThatCrashedGoesOn(t *testing.T) {
	inSubmitWorld(t, 1500, func(t *testing.T, w *submitWorld) {
		r := rand.New(rand.NewPCG(3, 4))
		for range 8 {
			ctx, cancel := context.WithCancel(t.Context())
			var journal []byte
			var watching sync.WaitGroup
			watching.Go(func() {
				time.Sleep(time.Duration(10+r.IntN(400)) * time.Millisecond)
				journal, _ = os.ReadFile(w.options.Journal)
				time.Sleep(time.Duration(r.IntN(150)) * time.Millisecond)
				cancel()
			})
			_, err := w.submit(ctx, func(o *backfill.SubmitOptions) { o.Rate = 1000 })
			cancel()
			watching.Wait()
			if err == nil {
				break
			}
			if len(journal) > 0 {
				if err := os.WriteFile(w.options.Journal, journal, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := w.submit(t.Context()); err != nil {
			if _, ok := errors.AsType[*backfill.AlreadySentError](err); !ok {
				t.Fatal(err)
			}
		}
		w.checkOnce()
	})
}

func TestWithoutItsJournalABatchGoesOnByItsMark(t *testing.T) {
	inSubmitWorld(t, 2000, func(t *testing.T, w *submitWorld) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.submit(ctx, func(o *backfill.SubmitOptions) { o.Rate = 1000 }); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		elsewhere := func(o *backfill.SubmitOptions) { o.Journal, o.Host = w.file+".other", "elsewhere" }
		_, err := w.submit(t.Context(), elsewhere)
		if err == nil || !strings.Contains(err.Error(), "is being sent by here, by its mark in Kafka") {
			t.Errorf("at once, elsewhere: %v", err)
		}
		if _, err := os.Stat(w.file + ".other"); !os.IsNotExist(err) {
			t.Errorf("the refused one left a journal: %v", err)
		}
		time.Sleep(2 * time.Minute)
		done, err := w.submit(t.Context(), elsewhere)
		if err != nil || done.Before+done.Sent != 2000 || done.Before < 500 {
			t.Errorf("elsewhere: %+v, %v", done, err)
		}
		w.checkOnce()
		// Whoever began it learns that it is done.
		_, err = w.submit(t.Context())
		if _, ok := errors.AsType[*backfill.AlreadySentError](err); !ok {
			t.Errorf("at the beginning: %v", err)
		}
		w.checkOnce()
	})
}

// TestABatchThatWasTakenOverIsLeftAlone cuts a submit off for so long that another
// machine goes on with its batch.
func TestABatchThatWasTakenOverIsLeftAlone(t *testing.T) {
	inSubmitWorld(t, 2000, func(t *testing.T, w *submitWorld) {
		other := w.connect() // which is not cut off
		defer other.Close()
		var cut atomic.Bool
		far, err := broker.NewConnection(broker.Options{Brokers: w.cluster.Addrs(), DialFunc: func(ctx context.Context, network, address string) (net.Conn, error) {
			if cut.Load() {
				return nil, errors.New("cut off")
			}
			return w.network.DialContext(ctx, network, address)
		}})
		if err != nil {
			t.Fatal(err)
		}
		var first sync.WaitGroup
		first.Go(func() {
			defer far.Close()
			_, err := w.submit(t.Context(), func(o *backfill.SubmitOptions) { o.Rate, o.Connection = 500, far })
			if err == nil || !strings.Contains(err.Error(), "was taken over by elsewhere") {
				t.Errorf("the first: %v", err)
			}
		})
		time.Sleep(time.Second)
		before := w.lines()
		cut.Store(true)
		w.network.Cut() // what is open
		w.network.Mend()
		time.Sleep(2 * time.Minute)
		done, err := w.submit(t.Context(), func(o *backfill.SubmitOptions) {
			o.Connection, o.Host, o.Journal, o.Rate = other, "elsewhere", w.file+".other", 100
			o.Begins = func(int64) { cut.Store(false) }
		})
		if err != nil || done.Before < int64(len(before)) || done.Before+done.Sent != 2000 {
			t.Errorf("elsewhere: %+v, %v", done, err)
		}
		first.Wait()
		w.checkOnce()
	})
}

func TestRequestsWhoseAnswersAreLostAreNotRepeated(t *testing.T) {
	inSubmitWorld(t, 2000, func(t *testing.T, w *submitWorld) {
		// The broker stores the records, and says that it timed out.
		w.cluster.Inject(embedded.Fault{API: embedded.Produce, Topic: laneTopic, Code: int(kafka.RequestTimedOut), Times: 3})
		var cutting sync.WaitGroup
		cutting.Go(func() {
			for range 3 {
				time.Sleep(400 * time.Millisecond)
				w.network.Cut()
				time.Sleep(3 * time.Second)
				w.network.Mend()
			}
		})
		done, err := w.submit(t.Context(), func(o *backfill.SubmitOptions) { o.Rate = 1000 })
		cutting.Wait()
		if err != nil || done.Sent != 2000 {
			t.Errorf("%+v, %v", done, err)
		}
		w.checkOnce()
	})
}

func TestMovesOfLeadersAreWaitedOut(t *testing.T) {
	inSubmitWorld(t, 1000, func(t *testing.T, w *submitWorld) {
		w.cluster.Inject(embedded.Fault{API: embedded.Produce, Topic: laneTopic, Code: int(kafka.NotLeaderForPartition), Times: 5})
		w.cluster.Inject(embedded.Fault{API: embedded.ListOffsets, Topic: laneTopic, Code: int(kafka.LeaderNotAvailable), Times: 2})
		if _, err := w.submit(t.Context()); err != nil {
			t.Error(err)
		}
		w.checkOnce()
	})
}

func TestWhatContradictsTheJournalIsRefused(t *testing.T) {
	inSubmitWorld(t, 500, func(t *testing.T, w *submitWorld) {
		refused := func(want string) {
			t.Helper()
			if _, err := w.submit(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		}
		w.check.BatchID = "b"
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if _, err := w.submit(ctx, func(o *backfill.SubmitOptions) { o.Rate = 1000 }); err == nil {
			t.Fatal("it was to stop")
		}
		w.check.Rows.Set = map[string]string{"source": "x"}
		refused(`batch b was begun with --set "batch_id=b" and 500 decisions to send, and is now given with --set "batch_id=b" --set "source=x" and 500; give the same flags again`)
		w.check.Rows.Set = nil
		w.check.BatchID = "other"
		refused("batch b of " + w.file + " was begun and not finished")
		w.write(w.file, 500, 2)
		refused("batch b of " + w.file + " was begun and not finished")
		w.check.BatchID = "b"
		refused("batch b was begun with other content")
		w.write(w.file, 500, 1)
		if _, err := w.submit(t.Context()); err != nil {
			t.Error(err)
		}
		w.checkOnce()
	})
}

func TestAJournalServesOneSubmitAtATime(t *testing.T) {
	inSubmitWorld(t, 1000, func(t *testing.T, w *submitWorld) {
		var first sync.WaitGroup
		first.Go(func() {
			if _, err := w.submit(t.Context(), func(o *backfill.SubmitOptions) { o.Rate = 1000 }); err != nil {
				t.Error(err)
			}
		})
		for range 5 {
			time.Sleep(150 * time.Millisecond)
			if _, err := w.submit(t.Context()); !errors.Is(err, backfill.ErrJournalBusy) {
				t.Errorf("meanwhile: %v", err)
			}
		}
		first.Wait()
		w.checkOnce()
	})
}

func TestAFileThatChangesMeanwhileEndsTheSubmit(t *testing.T) {
	inSubmitWorld(t, 2000, func(t *testing.T, w *submitWorld) {
		var changing sync.WaitGroup
		changing.Go(func() {
			time.Sleep(500 * time.Millisecond)
			f, err := os.OpenFile(w.file, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			fmt.Fprintln(f, "{}")
		})
		_, err := w.submit(t.Context(), func(o *backfill.SubmitOptions) { o.Rate = 1000 })
		changing.Wait()
		if err == nil || !strings.Contains(err.Error(), "was changed while it was read") {
			t.Errorf("got %v", err)
		}
	})
}

func TestATopicMadeAnewIsNotTakenForTheOldOne(t *testing.T) {
	inSubmitWorld(t, 1000, func(t *testing.T, w *submitWorld) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var journal []byte
		var watching sync.WaitGroup
		watching.Go(func() {
			time.Sleep(500 * time.Millisecond)
			journal, _ = os.ReadFile(w.options.Journal)
			cancel()
		})
		if _, err := w.submit(ctx, func(o *backfill.SubmitOptions) { o.Rate = 1000 }); err == nil {
			t.Fatal("it was to stop")
		}
		watching.Wait()
		if err := os.WriteFile(w.options.Journal, journal, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.cluster.DeleteTopic(laneTopic), w.cluster.CreateTopic(laneTopic, 3, nil)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if _, err := w.submit(t.Context()); err == nil || !strings.Contains(err.Error(), "was the topic made anew?") {
			t.Errorf("got %v", err)
		}
	})
}

func TestAClusterThatIsAwayIsAnError(t *testing.T) {
	inSubmitWorld(t, 10, func(t *testing.T, w *submitWorld) {
		w.network.Cut()
		begin := time.Now()
		_, err := w.submit(t.Context())
		if err == nil || !strings.Contains(err.Error(), "look up the cluster") || time.Since(begin) > time.Minute {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		if _, err := os.Stat(w.options.Journal); !os.IsNotExist(err) {
			t.Errorf("it left a journal: %v", err)
		}
	})
}
