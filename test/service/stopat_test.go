package service_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

// TestBatchStopsByItself has the API refuse every fifth task of a batch that is to stop at one
// in ten. Others go on. Let go, it stops again, and after that it is right.
func TestBatchStopsByItself(t *testing.T) {
	t.Parallel()
	inWorld(t, quickAPI, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit, w.stopAt = 50, 0.1
		const size = 3000
		var wrong atomic.Bool
		wrong.Store(true)
		refused := make(map[string]bool)
		records := passesFrom(w.cfg.Kafka.Topics.Backfill, 0, size)
		for i := 0; i < size; i += 5 {
			refused[task(i, i).TaskID] = true
		}
		w.setFaults(func(c sandbox.Call) sandbox.Fault {
			if wrong.Load() && c.Operation == passfort.OpComplete && refused[c.TaskID] {
				return answer(422, `{"errors":[{"code":2,"message":"no"}]}`)
			}
			return sandbox.Fault{}
		})
		w.submitBatch("spring", records)
		a, b := w.start(), w.start()
		settled := func() int { return w.count(w.cfg.Kafka.Topics.Results) + w.count(w.cfg.Kafka.Topics.DeadLetters) }
		held := func() (ledger.Entry, bool) {
			state, err := store.Read(t.Context(), w.ledgerOptions("look"), nil)
			if err != nil {
				t.Fatal(err)
			}
			e, _ := state.Get(ledger.HoldBatch("spring"))
			return e, e.Hold != nil && e.Hold.Held
		}
		for round := 1; round <= 2; round++ {
			w.await(time.Minute, "the batch is held", func() bool { _, is := held(); return is })
			time.Sleep(5 * time.Second)
			before := settled()
			time.Sleep(time.Minute)
			if n := settled(); n != before || n < 100*round || n > 700*round {
				t.Errorf("round %d: %d of the batch are settled, and %d a minute later", round, before, n)
			}
			if e, _ := held(); e.Command != "stop-at" || !strings.Contains(e.Why, "were dead-lettered, more than the 10% that it was to stop at") {
				t.Errorf("held by %s because %q", e.Command, e.Why)
			}
			w.send(passesFrom(w.cfg.Kafka.Topics.Backfill, size+100*round, 50)...)
			w.await(10*time.Second, "others go on", func() bool { return w.completed(size+100*round, size+100*round+50) == 50 })
			wrong.Store(round == 1)
			w.hold(ledger.HoldBatch("spring"), false)
		}
		w.awaitAll(10 * time.Minute)
		if _, is := held(); is {
			t.Error("the batch is held although nothing is wrong any more")
		}
		a.stop()
		b.stop()
		for _, d := range w.deadLetters() {
			if d.Reason != decision.Rejected {
				t.Errorf("dead letter %+v", d)
			}
		}
		w.checkSettledOnce()
	})
}
