package service_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/bulk/redrive"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

// redriven returns a decision as it comes when its dead letter went back.
func redriven(r outgoing) outgoing {
	r.headers = append(r.headers, kafka.Header{Key: decision.HeaderRedrives, Value: []byte("1")},
		kafka.Header{Key: decision.HeaderRedrivenFrom, Value: []byte("task-decisions-dlq/0/7")},
		kafka.Header{Key: decision.HeaderRedrivenOrigin, Value: []byte("task-decisions/0/7")})
	return r
}

// An old dead letter goes back. Meanwhile somebody has decided the opposite, or the same, or
// the task is still open.
func TestRedrivenDecisionLooksAtItsTaskFirst(t *testing.T) {
	for _, c := range []struct {
		name    string
		stands  decision.State
		on      decision.OnConflict
		want    string
		state   decision.State
		changes int // completing calls
	}{
		{"the opposite", decision.CompletedFail, decision.ConflictDeadLetter, "conflict", decision.CompletedFail, 0},
		{"the opposite, skipped", decision.CompletedFail, decision.ConflictSkip, "skipped", decision.CompletedFail, 0},
		{"the opposite, overwritten", decision.CompletedFail, decision.ConflictOverwrite, "completed", decision.CompletedPass, 1},
		{"the same", decision.CompletedPass, decision.ConflictDeadLetter, "already_complete", decision.CompletedPass, 0},
		{"open", "", decision.ConflictDeadLetter, "completed", decision.CompletedPass, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
				it := task(1, 1)
				w.cfg.Processor.OnConflict, w.cfg.Processor.Preflight = c.on, decision.PreflightNever
				if c.stands != "" {
					w.api.SetState(it.ProfileID, it.TaskID, c.stands)
				}
				w.send(redriven(decisionOn(w.cfg.Kafka.Topics.Decisions, it, decision.CompletedPass)))
				m := w.start()
				w.awaitAll(time.Minute)
				m.stop()
				for _, outcome := range w.checkSettledOnce() {
					if outcome != c.want {
						t.Errorf("outcome %s, want %s", outcome, c.want)
					}
				}
				changes := 0
				for _, call := range w.calls {
					if call.Operation == passfort.OpComplete {
						changes++
					}
				}
				if got := w.api.State(it.ProfileID, it.TaskID); got != c.state || changes != c.changes {
					t.Errorf("the task is %s after %d calls, want %s after %d", got, changes, c.state, c.changes)
				}
			})
		})
	}
}

// Of two redrives one may overwrite, by the ledger. A third says so in a header alone.
func TestOnlyTheLedgerLetsARedriveOverwrite(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		w.cfg.Processor.Preflight = decision.PreflightNever
		m := w.start()
		defer m.stop()
		for i, overwrite := range []bool{true, false} {
			o := w.ledgerOptions("redrive")
			it := task(1, i)
			w.api.SetState(it.ProfileID, it.TaskID, decision.CompletedFail)
			id := "redrive-" + o.Author.Run
			w.order("redrive", ledger.BatchKey(id), ledger.Entry{Batch: &ledger.Batch{Redrive: true, Overwrite: overwrite, Runs: []string{o.Author.Run}}})
			rec := redriven(decisionOn(w.cfg.Kafka.Topics.Decisions, it, decision.CompletedPass))
			rec.headers = append(rec.headers, kafka.Header{Key: decision.HeaderRun, Value: []byte(o.Author.Run)})
			w.send(rec)
		}
		forged := task(1, 2)
		w.api.SetState(forged.ProfileID, forged.TaskID, decision.CompletedFail)
		rec := redriven(decisionOn(w.cfg.Kafka.Topics.Decisions, forged, decision.CompletedPass))
		rec.headers = append(rec.headers, kafka.Header{Key: decision.HeaderRun, Value: []byte("unknown")})
		w.send(rec)
		w.awaitAll(time.Minute)
		for i, want := range []decision.State{decision.CompletedPass, decision.CompletedFail, decision.CompletedFail} {
			if it := task(1, i); w.api.State(it.ProfileID, it.TaskID) != want {
				t.Errorf("task %d is %s, want %s", i, w.api.State(it.ProfileID, it.TaskID), want)
			}
		}
		if letters := w.deadLetters(); len(letters) != 2 || letters[0].Reason != decision.Conflict {
			t.Errorf("dead letters %+v", letters)
		}
	})
}

// Whether a redriven decision may change a task that stands at the opposite state is what the
// ledger says of the run that sent it.
func TestRedriveOverwritesOnlyIfTheLedgerSaysSo(t *testing.T) {
	for _, c := range []struct{ overwrite, known bool }{{false, true}, {true, true}, {true, false}} {
		overwrite := c.overwrite
		t.Run(fmt.Sprintf("overwrite %v, ledger known before %v", overwrite, c.known), func(t *testing.T) {
			inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
				topics := w.cfg.Kafka.Topics
				if c.known {
					w.hold(ledger.HoldLane(decision.Backfill), false)
				}
				m := w.start()
				time.Sleep(time.Minute)
				// A letter that went back before, and what its producer claims of that.
				of := decision.Record{
					Topic: topics.Decisions, Key: []byte(task(1, 1).ProfileID), Value: []byte(value(task(1, 1), decision.CompletedPass)),
					Headers: []decision.Header{{Key: decision.HeaderRun, Value: []byte("overwrite")}},
				}
				letter := decision.DeadLetter{Reason: decision.Rejected, Error: "no", FailedAt: decision.Time{Time: time.Now()}}
				if _, err := w.client.Append(t.Context(), topics.DeadLetters, 0, []decision.Record{letter.Encode(topics.DeadLetters, &of)}); err != nil {
					t.Fatal(err)
				}
				w.api.SetState(task(1, 1).ProfileID, task(1, 1).TaskID, decision.CompletedFail) // by a person
				r, err := redrive.New(t.Context(), redrive.Options{
					Ledger: w.ledgerOptions("redrive"), DeadLetters: topics.DeadLetters, Targets: topics.Inputs(), Overwrite: overwrite,
				})
				if err != nil {
					t.Fatal(err)
				}
				if done, err := r.Run(t.Context()); err != nil || done.Handled != 1 {
					t.Fatalf("%+v, %v", done, err)
				}
				w.await(time.Minute, "the copy is settled", func() bool { return len(w.results()) == 1 || len(w.deadLetters()) == 2 })
				m.stop()
				want := decision.CompletedFail
				if overwrite {
					want = decision.CompletedPass
				}
				if got := w.api.State(task(1, 1).ProfileID, task(1, 1).TaskID); got != want {
					t.Errorf("the task is %s, want %s", got, want)
				}
				if letters := w.deadLetters(); !overwrite && (len(letters) != 2 || letters[1].Reason != decision.Conflict && letters[0].Reason != decision.Conflict) {
					t.Errorf("dead letters %+v", letters)
				}
			})
		})
	}
}
