package redrive_test

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"verdict/internal/bulk/bulktest"
	"verdict/internal/bulk/redrive"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

// few fails some decisions in two topics, so that a redrive takes several transactions.
func few(b *bulktest.Kafka) {
	b.Helper()
	fail(b, bulktest.BackfillTopic, 1, 6, decision.Rejected)
	fail(b, bulktest.LiveTopic, 101, 6, decision.Rejected)
}

// wantFewOnce checks that each of them went back once, and that the ledger says so.
func wantFewOnce(b *bulktest.Kafka) {
	b.Helper()
	wantCopies(b, [2]int{1, 6}, [2]int{101, 6})
	m := newMachine(b)
	defer m.conn.Close()
	if survey, err := begin(b, m.options()).Scan(b.Context()); err != nil || survey.Already != 12 || survey.Chosen != 0 {
		b.Errorf("afterwards: %+v, %v", survey, err)
	}
}

// elsewhere scans and runs a redrive on another machine, which knows of the topics only what
// Kafka says now.
func elsewhere(b *bulktest.Kafka, action redrive.Action) {
	b.Helper()
	m := newMachine(b)
	defer m.conn.Close()
	o := m.options()
	o.Action = action
	scanAndRun(b, o)
}

// atEachRequest runs a test for each request of a redrive on a machine, until one has fewer.
func atEachRequest(t *testing.T, test func(b *bulktest.Kafka, m *machine, o redrive.Options)) {
	t.Helper()
	for at, more := 1, true; more; at++ {
		bulktest.InKafka(t, func(b *bulktest.Kafka) {
			few(b)
			m := newMachine(b)
			defer m.conn.Close()
			m.at = at
			o := m.options()
			o.Rate = 6 // two transactions
			test(b, m, o)
			if more = m.has(at); b.Failed() {
				b.Fatalf("at request %d", at)
			}
		})
		if at > 1000 {
			t.Fatal("there is no end of its requests")
		}
	}
}

// newAndRun is what the command does. It may fail.
func newAndRun(ctx context.Context, o redrive.Options) (redrive.Summary, error) {
	r, err := redrive.New(ctx, o)
	if err != nil {
		return redrive.Summary{}, err
	}
	return r.Run(ctx)
}

func TestRedriveRepeatsNothingAfterACrashAtAnyRequest(t *testing.T) {
	for name, set := range map[string]func(m *machine){
		"before it": func(m *machine) { m.before = m.die },
		"after it":  func(m *machine) { m.after = m.die },
	} {
		t.Run(name, func(t *testing.T) {
			atEachRequest(t, func(b *bulktest.Kafka, m *machine, o redrive.Options) {
				ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
				defer cancel()
				set(m)
				_, _ = newAndRun(ctx, o)
				elsewhere(b, redrive.SendBack)
				wantFewOnce(b)
			})
		})
	}
}

// Each answer is lost once, or the request with it. The run itself goes on.
func TestRedriveRepeatsNothingWhereAnswersAreLost(t *testing.T) {
	cut := func(conn net.Conn) { _ = conn.Close() }
	for name, set := range map[string]func(m *machine){
		"the request": func(m *machine) { m.before = cut },
		"the answer":  func(m *machine) { m.after = cut },
	} {
		t.Run(name, func(t *testing.T) {
			atEachRequest(t, func(b *bulktest.Kafka, m *machine, o redrive.Options) {
				set(m)
				if done, err := newAndRun(b.Context(), o); err == nil && done.Handled != 12 {
					b.Errorf("%+v", done)
				} else if err != nil {
					if isStep(m.hit) {
						b.Errorf("at request %d: %v", m.hit, err)
					}
					elsewhere(b, redrive.SendBack)
				}
				wantFewOnce(b)
			})
		})
	}
}

// Kafka can't be reached for two minutes, after any step of a transaction was carried out. The
// run finds out what was written, and goes on.
func TestRedriveGoesOnAfterAnOutage(t *testing.T) {
	atEachRequest(t, func(b *bulktest.Kafka, m *machine, o redrive.Options) {
		m.counted, m.after = isStep, m.unplug
		if done, err := newAndRun(b.Context(), o); err != nil || done.Handled != 12 {
			b.Errorf("%+v, %v", done, err)
		}
		wantFewOnce(b)
	})
}

// A machine stands still for two minutes, at any step of a transaction, while another one does the
// work. Then it wakes up, and sends what it was about to send.
func TestRedriveThatSleptRepeatsNothing(t *testing.T) {
	atEachRequest(t, func(b *bulktest.Kafka, m *machine, o redrive.Options) {
		m.before = m.sleep
		m.counted = isStep
		ended := make(chan error, 1)
		go func() {
			_, err := newAndRun(b.Context(), o)
			ended <- err
		}()
		time.Sleep(10 * time.Second)
		elsewhere(b, redrive.SendBack)
		time.Sleep(2 * time.Minute)
		m.wake()
		if err := <-ended; err != nil && !store.IsTakenOver(err) && !strings.Contains(err.Error(), "at the same moment") && !m.has(m.at) {
			b.Errorf("the first ends with %v", err)
		}
		wantFewOnce(b)
	})
}

func TestLaterRedriveTakesOver(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		fail(b, bulktest.BackfillTopic, 1, 100, decision.Rejected)
		o := by(b, "first")
		o.Rate = 10
		ended := make(chan error, 1)
		go func() {
			_, err := newAndRun(b.Context(), o)
			ended <- err
		}()
		time.Sleep(3500 * time.Millisecond)
		scanAndRun(b, by(b, "second"))
		err := <-ended
		if taken, ok := errors.AsType[*store.TakenOverError](err); !ok || taken.By.Actor != "second" || !strings.Contains(err.Error(), "host of second") {
			b.Errorf("the first ends with %v", err)
		}
		wantCopies(b, [2]int{1, 100})
		for id, e := range readLedger(b).Of(ledger.KindBatch) {
			if e.Batch.Ended.IsZero() || e.Batch.Size != e.Batch.Sent || e.Batch.Sent == 0 {
				b.Errorf("%s by %s: %+v", id.Name, e.Batch.Submitter.Actor, e.Batch)
			}
		}
	})
}

// Two machines take turns, each stopped by ^C.
func TestRedrivesByTurnsRepeatNothing(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		fail(b, bulktest.BackfillTopic, 1, 60, decision.Rejected)
		fail(b, bulktest.LiveTopic, 101, 60, decision.Rejected)
		var machines [2]*machine
		for i := range machines {
			machines[i] = newMachine(b)
			defer machines[i].conn.Close()
		}
		var handled int64
		for turn := 0; handled < 120; turn++ {
			if turn == 100 {
				b.Fatalf("%d went back in 100 turns", handled)
			}
			o := machines[turn%2].options()
			o.Rate = 10
			ctx, cancel := context.WithTimeout(b.Context(), 1300*time.Millisecond)
			done, err := newAndRun(ctx, o)
			cancel()
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				b.Fatal(err)
			}
			handled += done.Handled
		}
		wantCopies(b, [2]int{1, 60}, [2]int{101, 60})
		stopped := slices.IndexFunc(acts(b), func(a ledger.Act) bool { return a.Details["step"] == "end" && a.Details["stopped"] == "true" })
		if stopped < 0 {
			b.Error("no act says that a redrive was stopped")
		}
	})
}

// A dismissal is remembered as a redrive is.
func TestDismissalSurvivesLostAnswers(t *testing.T) {
	atEachRequest(t, func(b *bulktest.Kafka, m *machine, o redrive.Options) {
		m.after = func(conn net.Conn) { _ = conn.Close() }
		o.Action = redrive.Dismiss
		if _, err := newAndRun(b.Context(), o); err != nil {
			elsewhere(b, redrive.Dismiss)
		}
		other := newMachine(b)
		defer other.conn.Close()
		if survey, err := begin(b, other.options()).Scan(b.Context()); err != nil || survey.Dismissed != 12 {
			b.Errorf("%+v, %v", survey, err)
		}
		if got := copies(b); !maps.Equal(got, map[string]int{}) {
			b.Errorf("%v went back", got)
		}
	})
}
