package control

import (
	"context"
	"crypto/ed25519"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"verdict/internal/broker/embedded"
	"verdict/internal/bulk/bulktest"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

var backfill = ledger.HoldLane(decision.Backfill)

func must(w *world, made Made, err error) Made {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
	return made
}

func TestHoldAndResumeAreRecorded(t *testing.T) {
	inWorld(t, func(w *world) {
		task := ledger.HoldTask(decision.NewTask("AB", "CD"))
		for _, key := range []ledger.Key{backfill, task} {
			made, err := Hold(w.Context(), w.by("ann", "hold"), key, false)
			if made := must(w, made, err); !made.Changed || !w.state().Hold(key).Held {
				t.Errorf("%v: %+v", key, made)
			}
			made, err = Hold(w.Context(), w.by("ben", "hold"), key, false)
			if made := must(w, made, err); made.Changed || made.Before.Actor != "ann@backoffice" {
				t.Errorf("%v, held before: %+v", key, made)
			}
			made, err = Resume(w.Context(), w.by("cy", "resume"), key)
			if made := must(w, made, err); !made.Before.Hold.Held || w.state().Hold(key).Held {
				t.Errorf("%v resumed: %+v", key, made)
			}
		}
		acts := w.acts()
		if len(acts) != 4 || acts[0].Why != "because of ann" || acts[0].Details["target"] != "lane backfill" || acts[0].Details["after"] != "held" ||
			!strings.Contains(acts[1].Details["before"], "by ann@backoffice") || acts[2].Details["target"] != "task ab/cd" {
			t.Errorf("%+v", acts)
		}
	})
}

// TestTwoHoldsAtOnceAreOne starts commands at the same moment, each of which takes the key
// over from the others.
func TestTwoHoldsAtOnceAreOne(t *testing.T) {
	inWorld(t, func(w *world) {
		if err := store.Ensure(w.Context(), w.by("x", "topics")); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		changed := make([]bool, 3)
		for i, run := range []string{"ann", "ben", "cy"} {
			wg.Go(func() {
				made, err := Hold(w.Context(), w.by(run, "hold"), backfill, false)
				if err != nil {
					t.Error(err)
				}
				changed[i] = made.Changed
			})
		}
		wg.Wait()
		n := 0
		for _, c := range changed {
			if c {
				n++
			}
		}
		if acts := w.acts(); n != 1 || len(acts) != 1 {
			t.Errorf("%d changed it, with %d acts: %+v", n, len(acts), acts)
		}
		if e, _ := w.state().Get(backfill); !e.Hold.Held || w.acts()[0].Run != e.Run {
			t.Errorf("%+v", e)
		}
	})
}

// TestFencedWriterLooksAgain has another command come in between what a command read and
// what it writes.
func TestFencedWriterLooksAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		calls := 0
		made, err := change(w.Context(), w.by("ann", "hold"), backfill, func(_ *ledger.State, before ledger.Entry) (ledger.Entry, map[string]string, error) {
			if calls++; calls == 1 {
				made, err := Hold(w.Context(), w.by("ben", "hold"), backfill, false)
				must(w, made, err)
			}
			h := holdOf(before)
			if h.Held {
				return before, nil, nil
			}
			return ledger.Entry{Hold: &ledger.Hold{Held: true}}, map[string]string{}, nil
		})
		if must(w, made, err); calls != 2 || made.Changed || made.Before.Run != "ben" {
			t.Errorf("%d calls, %+v", calls, made)
		}
		if acts := w.acts(); len(acts) != 1 || acts[0].Run != "ben" {
			t.Errorf("%+v", acts)
		}
	})
}

// TestChangeWithoutAnswerIsMadeOnce has Kafka carry out the commit, and be away when it is to
// say so.
func TestChangeWithoutAnswerIsMadeOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		if err := store.Ensure(w.Context(), w.by("x", "topics")); err != nil {
			t.Fatal(err)
		}
		cut := 0
		w.Cluster.Kfake().ControlKey(int16(embedded.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
			cut++
			w.Network.Cut()
			time.AfterFunc(time.Minute, func() { w.Network.Mend() })
			return nil, nil, false // the request goes on
		})
		made, err := Resume(w.Context(), w.by("ann", "resume"), backfill) // which writes each time
		if must(w, made, err); !made.Changed || cut != 1 {
			t.Errorf("%+v, cut %d times", made, cut)
		}
		if acts := w.acts(); len(acts) != 1 {
			t.Errorf("%+v", acts)
		}
	})
}

// TestChangeThatWasNotStoredIsMadeAgain has Kafka refuse the commit until the first try is
// over.
func TestChangeThatWasNotStoredIsMadeAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		if err := store.Ensure(w.Context(), w.by("x", "topics")); err != nil {
			t.Fatal(err)
		}
		const requestTimedOut = 7
		fault := w.Cluster.Inject(embedded.Fault{API: embedded.EndTxn, Code: requestTimedOut})
		time.AfterFunc(time.Minute, fault.Lift)
		made, err := Resume(w.Context(), w.by("ann", "resume"), backfill)
		if must(w, made, err); !made.Changed || fault.Hits() == 0 {
			t.Errorf("%+v, %d faults", made, fault.Hits())
		}
		if acts := w.acts(); len(acts) != 1 {
			t.Errorf("%+v", acts)
		}
	})
}

func TestChangeEndsWithoutKafka(t *testing.T) {
	inWorld(t, func(w *world) {
		if err := store.Ensure(w.Context(), w.by("x", "topics")); err != nil {
			t.Fatal(err)
		}
		_, err := change(w.Context(), w.by("ann", "hold"), backfill, func(*ledger.State, ledger.Entry) (ledger.Entry, map[string]string, error) {
			w.Network.Cut()
			return ledger.Entry{Hold: &ledger.Hold{Held: true}}, map[string]string{}, nil
		})
		if err == nil || !strings.Contains(err.Error(), "it is not known whether lane backfill was changed; verdict audit shows it") {
			t.Errorf("%v", err)
		}
		w.Network.Mend()
	})
}

func TestUnknownBatchIsRefusedAndNamesNearOnes(t *testing.T) {
	inWorld(t, func(w *world) {
		for _, id := range []string{"spring-review", "spring-review-2", "autumn", "x"} {
			w.begin(id, 1)
		}
		key := ledger.HoldBatch("spring-reviw")
		for name, do := range map[string]func(ctx context.Context, o store.Options) (Made, error){
			"hold":   func(ctx context.Context, o store.Options) (Made, error) { return Hold(ctx, o, key, false) },
			"resume": func(ctx context.Context, o store.Options) (Made, error) { return Resume(ctx, o, key) },
			"cancel": func(ctx context.Context, o store.Options) (Made, error) {
				return Cancel(ctx, o, "spring-reviw", nil, true)
			},
		} {
			_, err := do(w.Context(), w.by("ann", name))
			if _, ok := errors.AsType[*UnknownBatchError](err); !ok || !strings.Contains(err.Error(), "did you mean spring-review or spring-review-2 or") {
				t.Errorf("%s: %v", name, err)
			}
		}
		made, err := Hold(w.Context(), w.by("ann", "hold"), key, true)
		if must(w, made, err); !made.Changed {
			t.Error("a batch could not be held before it is sent")
		}
		made, err = Resume(w.Context(), w.by("ann", "resume"), key)
		must(w, made, err)
	})
}

func TestCancelNotesTheEndsAndMergesWithEarlierOnes(t *testing.T) {
	inWorld(t, func(w *world) {
		b := w.begin("spring", 6)
		w.send("spring", b, 1, 3)
		_, err := Cancel(w.Context(), w.by("ann", "cancel"), "spring", nil, false)
		if _, ok := errors.AsType[*SendingError](err); !ok || !strings.Contains(err.Error(), "3 of 6 decisions, by spring@backoffice on host of spring") {
			t.Fatalf("a batch that is being sent: %v", err)
		}
		made, err := Cancel(w.Context(), w.by("ann", "cancel"), "spring", nil, true)
		must(w, made, err)
		ends := func() (sum int64) {
			for _, end := range w.state().Hold(ledger.HoldBatch("spring")).Cancelled[bulktest.BackfillTopic] {
				sum += end
			}
			return sum
		}
		if n := ends(); n != 3 {
			t.Errorf("the ends add up to %d, want 3", n)
		}
		// A higher end that an earlier cancel noted stays: the topic was made again since.
		w.put(w.by("old", "cancel"), ledger.HoldBatch("spring"), ledger.Entry{Hold: &ledger.Hold{Held: true, Cancelled: map[string]map[int]int64{
			"gone": {0: 5}, bulktest.BackfillTopic: {0: 1000},
		}}})
		w.send("spring", b, 4, 6)
		made, err = Cancel(w.Context(), w.by("ann", "cancel"), "spring", nil, false)
		must(w, made, err)
		if h := w.state().Hold(ledger.HoldBatch("spring")); !h.Held || h.Cancelled["gone"][0] != 5 || h.Cancelled[bulktest.BackfillTopic][0] != 1000 || ends() <= 1000 {
			t.Errorf("%+v", h)
		}
		if acts := w.acts(); len(acts) != 2 || acts[1].Details["before"] != "cancelled before" || acts[1].Details["sent"] != "6" {
			t.Errorf("%+v", acts)
		}
	})
}

func TestCancelOfABatchThatIsDoneChangesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		b := w.begin("spring", 1)
		b.Ended, b.Result = time.Now(), &ledger.BatchResult{At: time.Now(), Settled: 1}
		w.put(w.by("spring", "submit"), ledger.BatchKey("spring"), ledger.Entry{Batch: &b})
		_, err := Cancel(w.Context(), w.by("ann", "cancel"), "spring", nil, true)
		if err == nil || !strings.Contains(err.Error(), "its 1 decisions are settled, 0 of them dead-lettered, so there is nothing to cancel") {
			t.Errorf("%v", err)
		}
		if w.state().Hold(ledger.HoldBatch("spring")).Cancelled != nil || len(w.acts()) != 0 {
			t.Error("it was cancelled")
		}
	})
}

func TestRateIsSetForATimeAndReset(t *testing.T) {
	inWorld(t, func(w *world) {
		made, err := Rate(w.Context(), w.by("ann", "rate"), 12.5, time.Hour)
		must(w, made, err)
		s := w.state()
		if rate, until := s.Rate(time.Now()); rate != 12.5 || time.Until(until) > time.Hour || time.Until(until) < 59*time.Minute {
			t.Errorf("%v until %v", rate, until)
		}
		made, err = Rate(w.Context(), w.by("ann", "rate"), 0, 0)
		must(w, made, err)
		if rate, _ := w.state().Rate(time.Now()); rate != 0 {
			t.Errorf("%v after the reset", rate)
		}
		acts := w.acts()
		if len(acts) != 2 || acts[0].Details["before"] != "as configured" || !strings.HasPrefix(acts[0].Details["after"], "12.5 calls a second until 2") || acts[1].Details["before"] != acts[0].Details["after"] {
			t.Errorf("%+v", acts)
		}
	})
}

// TestUntrustedSignerWritesNothing has trusted keys configured where the command runs.
func TestUntrustedSignerWritesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		public, private, _ := ed25519.GenerateKey(nil)
		o := w.by("ann", "hold")
		o.Trusted = ledger.Trusted{"ann@backoffice": {public}}
		if _, err := Hold(w.Context(), o, backfill, false); err == nil || !strings.Contains(err.Error(), "control.sign_key_file") {
			t.Errorf("without a key: %v", err)
		}
		o.Sign, o.Author.Actor = private, "eve"
		if _, err := Hold(w.Context(), o, backfill, false); err == nil || !strings.Contains(err.Error(), "use --actor ann@backoffice") {
			t.Errorf("as another actor: %v", err)
		}
		if err := store.Check(w.Context(), o); !errors.Is(err, store.ErrMissing) {
			t.Errorf("the ledger was touched: %v", err)
		}
		o.Author.Actor = "ann@backoffice"
		made, err := Hold(w.Context(), o, backfill, false)
		must(w, made, err)
		made, err = Resume(w.Context(), o, backfill)
		must(w, made, err)
		s, err := store.Read(w.Context(), o, nil)
		if err != nil || s.Hold(backfill).Held || s.Previous(backfill) < 0 {
			t.Errorf("%+v, %v", s.Hold(backfill), err)
		}
	})
}
