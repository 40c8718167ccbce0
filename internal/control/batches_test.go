package control

import (
	"crypto/ed25519"
	"testing"
	"time"

	"verdict/internal/bulk/bulktest"
	"verdict/internal/decision"
	"verdict/internal/ledger"
)

// mustBatches returns the batches by their IDs.
func (w *world) mustBatches(o Options, all bool) map[string]Batch {
	w.Helper()
	list, err := Batches(w.Context(), o, all)
	if err != nil {
		w.Fatal(err)
	}
	byID := make(map[string]Batch)
	for _, b := range list {
		byID[b.ID] = b
	}
	return byID
}

func (w *world) want(b Batch, state BatchState, rows, sent, settled, dead int64) {
	w.Helper()
	if b.State != state || b.Rows != rows || b.Sent != sent || b.Settled != settled || b.DeadLettered != dead {
		w.Errorf("%s: %+v, want %s with %d rows, %d sent, %d settled, %d dead-lettered", b.ID, b, state, rows, sent, settled, dead)
	}
}

func TestBatchesAreCountedApartAndTheirResultsNoted(t *testing.T) {
	inWorld(t, func(w *world) {
		spring, autumn := w.begin("spring", 4), w.begin("autumn", 3)
		// A forged row names the batch, and nobody's run.
		w.Put(bulktest.InBatch(bulktest.BackfillTopic, "spring", 9, 4))
		sent := w.send("spring", spring, 1, 4)
		w.send("autumn", autumn, 1, 2)
		w.Settle(sent[0], decision.Completed, "")
		w.Settle(sent[1], "", decision.Rejected)
		time.Sleep(time.Minute)
		got := w.mustBatches(w.options(), false)
		w.want(got["spring"], BatchRunning, 4, 4, 2, 1)
		w.want(got["autumn"], BatchSending, 3, 2, 0, 0)
		if b := got["spring"]; b.Reasons["rejected"] != 1 || b.LeftSeconds < 55 || b.LeftSeconds > 65 || b.SubmittedBy != "spring@backoffice" || b.SubmittedAt == nil {
			t.Errorf("two in a minute, and two left: %+v", b)
		}
		if b := got["autumn"]; b.LeftSeconds != 3./50 {
			t.Errorf("left by the rate: %+v", b)
		}

		w.Settle(sent[2], decision.Completed, "")
		w.Settle(sent[3], decision.Completed, "")
		finished := time.Now()
		got = w.mustBatches(w.options(), false)
		w.want(got["spring"], BatchDone, 4, 4, 4, 1)
		e, _ := w.state().Batch("spring")
		if r := e.Batch.Result; r == nil || r.Settled != 4 || r.DeadLettered != 1 || finished.Sub(r.At).Abs() > time.Second || e.Batch.Submitter.Actor != "spring@backoffice" || e.Batch.Sent != 4 {
			t.Errorf("noted %+v", e)
		}
		if len(w.acts()) != 0 {
			t.Error("a count is an act")
		}
		// What is noted is not counted again.
		if err := w.Cluster.DeleteTopic(bulktest.LettersTopic); err != nil {
			t.Fatal(err)
		}
		if err := w.Cluster.CreateTopic(bulktest.LettersTopic, 1, nil); err != nil {
			t.Fatal(err)
		}
		w.want(w.mustBatches(w.options(), false)["spring"], BatchDone, 4, 4, 4, 1)

		// Those that were over a week ago are shown only on request.
		old := time.Now().Add(-keepShown - time.Hour)
		w.put(w.by("old", "submit"), ledger.BatchKey("old"), ledger.Entry{Batch: &ledger.Batch{Began: old, Ended: old, Result: &ledger.BatchResult{At: old}}})
		w.put(w.by("cut", "submit"), ledger.BatchKey("cut"), ledger.Entry{Batch: &ledger.Batch{Began: old, Topic: bulktest.BackfillTopic}})
		w.put(w.by("cut", "cancel"), ledger.HoldBatch("cut"), ledger.Entry{Hold: &ledger.Hold{Cancelled: map[string]map[int]int64{bulktest.BackfillTopic: {0: 1}}}})
		if got := w.mustBatches(w.options(), false); len(got) != 2 {
			t.Errorf("%+v", got)
		}
		if got := w.mustBatches(w.options(), true); len(got) != 4 || got["old"].State != BatchDone || got["cut"].State != BatchCancelled {
			t.Errorf("all: %+v", got)
		}
	})
}

// A redrive is a batch of its own, and its decisions are in their first batch as well.
func TestRedrivenDecisionsAreNotDone(t *testing.T) {
	inWorld(t, func(w *world) {
		b := w.begin("spring", 1)
		sent := w.send("spring", b, 1, 1)
		w.Settle(sent[0], "", decision.Rejected)
		letter := w.All(bulktest.LettersTopic)[0]

		o := w.by("again", "redrive")
		w.put(o, ledger.BatchKey("redrive-1"), ledger.Entry{Batch: &ledger.Batch{
			Topic: bulktest.LettersTopic, Begin: map[int]int64{0: 100}, Size: 1, Sent: 1, Began: time.Now(), Ended: time.Now(),
			Submitter: o.Author, Runs: []string{"again"}, Redrive: true,
		}})
		again := sent[0]
		for key, value := range map[string]string{
			decision.HeaderRedrives: "1", decision.HeaderRedrivenFrom: letter.Origin().String(), decision.HeaderRedrivenOrigin: sent[0].Origin().String(), decision.HeaderRun: "again",
		} {
			again.Headers = append(again.Headers, decision.Header{Key: key, Value: []byte(value)})
		}
		w.Put(again)
		got := w.mustBatches(w.options(), false)
		w.want(got["spring"], BatchRunning, 1, 1, 0, 0)
		w.want(got["redrive-1"], BatchRunning, 1, 1, 0, 0)

		for _, rec := range w.All(bulktest.BackfillTopic) {
			if decision.RunOf(rec.Headers) == "again" {
				w.Settle(rec, decision.Completed, "")
			}
		}
		got = w.mustBatches(w.options(), false)
		w.want(got["spring"], BatchDone, 1, 1, 1, 0)
		w.want(got["redrive-1"], BatchDone, 1, 1, 1, 0)
	})
}

func TestBatchOfTheFirstEditionIsKnownByItsName(t *testing.T) {
	inWorld(t, func(w *world) {
		o := w.by("b", "submit")
		w.put(o, ledger.BatchKey("old"), ledger.Entry{Batch: &ledger.Batch{
			Topic: bulktest.BackfillTopic, Size: 2, Sent: 2, Ended: time.Now(), Submitter: o.Author, Runs: []string{"b"}, FirstEdition: true,
		}})
		w.Put(bulktest.InBatch(bulktest.BackfillTopic, "old", 1, 2), bulktest.InBatch(bulktest.BackfillTopic, "old", 2, 2))
		b := w.mustBatches(w.options(), false)["old"]
		w.want(b, BatchRunning, 2, 2, 0, 0)
		if b.SubmittedAt != nil {
			t.Errorf("submitted at %v, which nobody knows", b.SubmittedAt)
		}
		w.Settle(w.All(bulktest.BackfillTopic)[0], decision.Completed, "")
		w.want(w.mustBatches(w.options(), false)["old"], BatchRunning, 2, 2, 1, 0)
	})
}

func TestResultOfASignedBatchIsNotedOnlyWithASignature(t *testing.T) {
	inWorld(t, func(w *world) {
		_, private, _ := ed25519.GenerateKey(nil)
		o := w.by("spring", "submit")
		o.Sign = private
		w.put(o, ledger.BatchKey("spring"), ledger.Entry{Batch: &ledger.Batch{Topic: bulktest.BackfillTopic, Began: time.Now(), Ended: time.Now()}})
		reader := w.options()
		for _, tc := range []struct {
			key   ed25519.PrivateKey
			noted bool
		}{{nil, false}, {private, true}} {
			reader.Ledger.Sign = tc.key
			w.want(w.mustBatches(reader, false)["spring"], BatchDone, 0, 0, 0, 0)
			if e, _ := w.state().Batch("spring"); (e.Batch.Result != nil) != tc.noted {
				t.Errorf("noted: %+v, want %v", e.Batch.Result, tc.noted)
			}
		}
	})
}

func TestStateOfABatch(t *testing.T) {
	at := time.Now()
	ended := ledger.Batch{Ended: at}
	done := ledger.Batch{Ended: at, Result: &ledger.BatchResult{At: at}}
	cancelled := map[string]map[int]int64{"backfill": {0: 1}}
	for name, tc := range map[string]struct {
		batch   ledger.Batch
		command string // that wrote the hold; empty: nobody did
		hold    ledger.Hold
		want    BatchState
	}{
		"sending":          {ledger.Batch{}, "", ledger.Hold{}, BatchSending},
		"running":          {ended, "", ledger.Hold{}, BatchRunning},
		"resumed":          {ended, "resume", ledger.Hold{}, BatchRunning},
		"held":             {ended, "hold", ledger.Hold{Held: true}, BatchHeld},
		"held and sending": {ledger.Batch{}, "hold", ledger.Hold{Held: true}, BatchHeld},
		"cancelled":        {ended, "cancel", ledger.Hold{Held: true, Cancelled: cancelled}, BatchCancelled},
		"waiting":          {ledger.Batch{Ended: at, Approval: &ledger.Approval{}}, "", ledger.Hold{}, BatchWaiting},
		"being moved":      {ledger.Batch{Ended: at, Approval: &ledger.Approval{By: &ledger.Author{}}}, "", ledger.Hold{}, BatchSending},
		"moved":            {ledger.Batch{Ended: at, Approval: &ledger.Approval{By: &ledger.Author{}, Ended: at}}, "", ledger.Hold{}, BatchRunning},
		"done":             {done, "hold", ledger.Hold{Held: true}, BatchDone},
		"done, cancelled":  {done, "cancel", ledger.Hold{Cancelled: cancelled}, BatchCancelled},
	} {
		s := ledger.New("verdict", nil)
		if tc.command != "" {
			apply(t, s, ledger.HoldBatch("b"), ledger.Entry{At: at, Author: ledger.Author{Command: tc.command}, Hold: &tc.hold})
		}
		if got := stateOf(s, "b", &tc.batch, at); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

func TestApprovedBatchIsCountedInItsLane(t *testing.T) {
	inWorld(t, func(w *world) {
		o, at := w.by("spring", "submit"), time.Now()
		b := ledger.Batch{Topic: "elsewhere", Size: 1, Sent: 1, Began: at, Ended: at, Submitter: o.Author, Runs: []string{"spring"}, Approval: &ledger.Approval{To: bulktest.BackfillTopic}}
		w.put(o, ledger.BatchKey("spring"), ledger.Entry{Batch: &b})
		rec := bulktest.InBatch("elsewhere", "spring", 1, 1)
		rec.Headers = append(rec.Headers, decision.Header{Key: decision.HeaderRun, Value: []byte("spring")})
		w.Put(rec)
		w.want(w.mustBatches(w.options(), false)["spring"], BatchWaiting, 1, 1, 0, 0)

		w.Put(bulktest.Decision(bulktest.BackfillTopic, 7))
		b.Approval = &ledger.Approval{By: &ledger.Author{Actor: "boss"}, At: at, To: bulktest.BackfillTopic, Begin: map[int]int64{0: 0, 1: 0, 2: 0}, Count: 1, Ended: at}
		w.put(w.by("boss", "approve"), ledger.BatchKey("spring"), ledger.Entry{Batch: &b})
		rec.Topic = bulktest.BackfillTopic
		w.Put(rec)
		w.want(w.mustBatches(w.options(), false)["spring"], BatchRunning, 1, 1, 0, 0)
		for _, moved := range w.All(bulktest.BackfillTopic) {
			w.Settle(moved, decision.Completed, "")
		}
		w.want(w.mustBatches(w.options(), false)["spring"], BatchDone, 1, 1, 1, 0)
	})
}

func TestRefusedBatchIsShownAsSuch(t *testing.T) {
	at := time.Now()
	s := ledger.New("verdict", nil)
	apply(t, s, ledger.InstanceKey("v-0"), ledger.Entry{At: at, Instance: &ledger.Instance{Pauses: []ledger.Pause{{Cause: "refused", Lane: "backfill", Batch: "b"}, {Cause: "held", Batch: "c"}}}})
	for id, want := range map[string]BatchState{"b": BatchRefused, "c": BatchRunning} {
		if got := stateOf(s, id, &ledger.Batch{Ended: at}, at); got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
	if got := stateOf(s, "b", &ledger.Batch{Ended: at}, at.Add(fresh)); got != BatchRunning {
		t.Errorf("%s by an instance that is gone", got)
	}
}

// apply adds an entry to a state.
func apply(t *testing.T, s *ledger.State, key ledger.Key, e ledger.Entry) {
	t.Helper()
	value, err := e.Encode("verdict", key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(&decision.Record{Key: []byte(key.In("verdict")), Value: value}); err != nil {
		t.Fatal(err)
	}
}
