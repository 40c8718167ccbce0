package service_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

// instances returns what the ledger says of instances.
func (w *world) instances() map[string]ledger.Entry {
	w.t.Helper()
	state, err := store.Read(w.t.Context(), w.ledgerOptions("status"), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	all := make(map[string]ledger.Entry)
	for key, e := range state.Of(ledger.KindInstance) {
		all[key.Name] = e
	}
	return all
}

// TestInstanceShowsInTheLedger also leaves the entry of one that was killed.
func TestInstanceShowsInTheLedger(t *testing.T) {
	t.Parallel()
	inWorld(t, quickAPI, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = 20
		w.hold(ledger.HoldLane(decision.Backfill), true)
		killed := ledger.Entry{At: time.Now(), Instance: &ledger.Instance{}}
		value, err := killed.Encode(w.cfg.Kafka.GroupID, ledger.InstanceKey("killed/1"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.client.Append(t.Context(), w.cfg.Kafka.Topics.Control, 0, []decision.Record{{Key: []byte(ledger.InstanceKey("killed/1").In(w.cfg.Kafka.GroupID)), Value: value}}); err != nil {
			t.Fatal(err)
		}
		w.send(passes(w.cfg.Kafka.Topics.Backfill, 100)...)
		began := time.Now()
		m := w.start()
		time.Sleep(6 * time.Second)
		var own string
		host, _ := os.Hostname()
		for name, e := range w.instances() {
			if name == "killed/1" {
				continue
			}
			own = name
			is := e.Instance
			if !strings.HasPrefix(name, host+"/") || e.Actor != name || e.Command != "run" || e.Host != host || e.Run == "" {
				t.Errorf("%s: %+v", name, e.Author)
			}
			if !is.Started.Equal(began) || is.Version == "" || !is.Ready || is.Partitions != 2*partitions || is.Backlog["backfill"] != 100 || is.RateLimit != 20 ||
				!strings.Contains(is.Status, "held=backfill") || len(is.Pauses) != 1 || is.Pauses[0].Lane != "backfill" || is.Pauses[0].Cause != "held" {
				t.Errorf("%+v", is)
			}
		}
		if own == "" {
			t.Fatal("it does not show")
		}
		w.hold(ledger.HoldLane(decision.Backfill), false)
		time.Sleep(12 * time.Second)
		if is := w.instances()[own].Instance; len(is.Pauses) != 0 || is.Backlog["backfill"] != 0 || is.RateUsed == 0 {
			t.Errorf("after the resume: %+v", is)
		}
		before := w.kafka.HighWatermark(w.cfg.Kafka.Topics.Control, 0)
		time.Sleep(30 * time.Minute)
		if age := time.Since(w.instances()[own].At); age > 35*time.Second {
			t.Errorf("its entry is %v old", age)
		}
		if n := w.kafka.HighWatermark(w.cfg.Kafka.Topics.Control, 0) - before; n > 62 {
			t.Errorf("%d records in half an hour without change", n)
		}
		if _, ok := w.instances()["killed/1"]; !ok {
			t.Error("the entry of the killed one is gone within an hour")
		}
		time.Sleep(31 * time.Minute)
		if _, ok := w.instances()["killed/1"]; ok {
			t.Error("the entry of the killed one is left")
		}
		m.stop()
		if left := w.instances(); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
		if lines := w.logLines("counts for nothing"); len(lines) != 0 {
			t.Errorf("refused: %v", lines)
		}
	})
}

// TestRefusedBatchShowsInTheLedger has the API refuse all of one batch, and nothing else.
func TestRefusedBatchShowsInTheLedger(t *testing.T) {
	t.Parallel()
	inWorld(t, quickAPI, func(t *testing.T, w *world) {
		refused := make(map[string]bool)
		for i := range 200 {
			refused[task(i, i).TaskID] = true
		}
		w.setFaults(func(c sandbox.Call) sandbox.Fault {
			if c.Operation == passfort.OpComplete && refused[c.TaskID] {
				return answer(422, `{"errors":[{"code":2,"message":"no"}]}`)
			}
			return sandbox.Fault{}
		})
		w.submitBatch("spring", passesFrom(w.cfg.Kafka.Topics.Backfill, 0, 200))
		m := w.start()
		for n := range 120 { // others are carried out meanwhile
			w.send(passesFrom(w.cfg.Kafka.Topics.Decisions, 1000+n, 1)...)
			time.Sleep(time.Second)
		}
		var pauses []ledger.Pause
		for _, e := range w.instances() {
			pauses = append(pauses, e.Instance.Pauses...)
		}
		if len(pauses) != 1 || pauses[0].Cause != "refused" || pauses[0].Lane != "backfill" || pauses[0].Batch != "spring" {
			t.Errorf("%+v", pauses)
		}
		m.stop()
	})
}
