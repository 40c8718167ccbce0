package submit_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/bulk/submit"
	"verdict/internal/ledger/store"
)

// TestSubmitContinuesAfterStopsOnTwoMachines stops a submit at random moments, now on one
// machine and now on the other, until it is done.
func TestSubmitContinuesAfterStopsOnTwoMachines(t *testing.T) {
	inSubmitWorld(t, 1500, func(t *testing.T, w *submitWorld) {
		there := w.machine("there")
		defer there.connection.Close()
		r := rand.New(rand.NewPCG(1, 2))
		for stops := 0; ; stops++ {
			m := []*machine{w.here, there}[stops%2]
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+r.IntN(500))*time.Millisecond)
			before := 0
			if stops > 0 {
				before = len(w.lines())
			}
			done, err := m.submit(ctx, rate(1000), func(o *submit.Options) { o.ChunkRows = 50 })
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
			if done.Sent > 0 && int(done.Earlier) != before {
				t.Errorf("%d were in the topic, it says %d", before, done.Earlier)
			}
		}
		w.checkOnce()
	})
}

// TestSubmitContinuesAfterCrashes has a machine die at random moments, and another one go
// on.
func TestSubmitContinuesAfterCrashes(t *testing.T) {
	inSubmitWorld(t, 1500, func(t *testing.T, w *submitWorld) {
		r := rand.New(rand.NewPCG(3, 4))
		for crashes := range 40 {
			m := w.machine("machine")
			ctx, crash := context.WithCancel(t.Context())
			var left atomic.Int64 // requests before nothing leaves the machine any more
			left.Store(r.Int64N(80))
			m.wire.onEach(func(embedded.API, int) fate {
				if left.Add(-1) >= 0 || crashes == 39 {
					return arrives
				}
				crash()
				return lost
			})
			_, err := m.submit(ctx, func(o *submit.Options) { o.ChunkRows = 50 })
			crash()
			m.connection.Close()
			if err == nil {
				if crashes < 3 {
					t.Errorf("only %d crashes", crashes)
				}
				break
			}
			if !errors.Is(err, context.Canceled) && !errors.Is(err, broker.ErrConnectionClosed) {
				if _, sent := errors.AsType[*submit.AlreadySentError](err); sent { // the last answer was lost
					break
				}
				t.Fatal(err)
			}
		}
		w.checkOnce()
	})
}

// faults break something a few times while a submit sends.
var faults = map[string]func(w *submitWorld){
	"no coordinator for 40s": func(w *submitWorld) {
		for _, api := range []embedded.API{embedded.FindCoordinator, embedded.InitProducerID, embedded.AddPartitionsToTxn, embedded.EndTxn} {
			fault := w.cluster.Inject(embedded.Fault{API: api, Code: int(kafka.GroupCoordinatorNotAvailable)})
			time.AfterFunc(40*time.Second, fault.Lift)
		}
	},
	"coordinators move": func(w *submitWorld) { w.cluster.MoveCoordinators() },
	"leaders move":      func(w *submitWorld) { w.cluster.MoveLeaders() },
	"stored, and called timed out": func(w *submitWorld) {
		w.cluster.Inject(embedded.Fault{API: embedded.Produce, Topic: laneTopic, Code: int(kafka.RequestTimedOut), Times: 3})
	},
	"commits are answered with time-outs for 40s": func(w *submitWorld) {
		fault := w.cluster.Inject(embedded.Fault{API: embedded.EndTxn, Code: int(kafka.RequestTimedOut)})
		time.AfterFunc(40*time.Second, fault.Lift)
	},
	"answers to commits are lost for 40s": func(w *submitWorld) {
		until := time.Now().Add(40 * time.Second)
		w.here.wire.onEach(func(api embedded.API, _ int) fate {
			if api == embedded.EndTxn && time.Now().Before(until) {
				return unanswered
			}
			return arrives
		})
	},
	"outage of five minutes": func(w *submitWorld) {
		w.network.Cut()
		time.AfterFunc(5*time.Minute, func() { w.network.Mend() })
	},
	"fenced without a takeover": func(w *submitWorld) {
		w.cluster.Inject(embedded.Fault{API: embedded.EndTxn, Code: int(kafka.InvalidProducerEpoch), Times: 1})
	},
	"standing still for two minutes": func(w *submitWorld) {
		w.here.wire.onNth(embedded.EndTxn, 1, func() { time.Sleep(2 * time.Minute) })
	},
}

func TestSubmitSendsEachRowOnceInSpiteOfFaults(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			inSubmitWorld(t, 2000, func(t *testing.T, w *submitWorld) {
				began := time.Now()
				for _, after := range []time.Duration{900 * time.Millisecond, 10 * time.Minute} {
					time.AfterFunc(after, func() { fault(w) })
				}
				done, err := w.submit(t.Context(), rate(2), func(o *submit.Options) { o.ChunkRows = 50 })
				if err != nil || done.Sent != 2000 {
					t.Errorf("%+v, %v", done, err)
				}
				if d := time.Since(began); d > 35*time.Minute {
					t.Errorf("it took %v", d)
				}
				w.checkOnce()
			})
		})
	}
}

func TestSubmitGivesUpWhatTimeCanNotMend(t *testing.T) {
	inSubmitWorld(t, 200, func(t *testing.T, w *submitWorld) {
		w.cluster.Inject(embedded.Fault{API: embedded.Produce, Topic: laneTopic, Code: int(kafka.TopicAuthorizationFailed)})
		began := time.Now()
		_, err := w.submit(t.Context())
		if !errors.Is(err, kafka.TopicAuthorizationFailed) || time.Since(began) > 10*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// A machine stands still before any request of a transaction, while another one takes its
// batch over and sends some of it, or all. When it wakes up it writes nothing.
func TestSubmitStopsWhenItsBatchWasTakenOver(t *testing.T) {
	for name, api := range map[string]embedded.API{"begin": embedded.AddPartitionsToTxn, "store": embedded.Produce, "commit": embedded.EndTxn} {
		t.Run(name, func(t *testing.T) {
			inSubmitWorld(t, 2000, func(t *testing.T, w *submitWorld) {
				there := w.machine("there")
				defer there.connection.Close()
				var sent int64
				w.here.wire.onNth(api, 9, func() {
					w.here.wire.onEach(nil)
					done, err := there.submit(t.Context())
					if err != nil || done.Earlier+done.Sent != 2000 || done.Earlier == 0 {
						t.Errorf("elsewhere: %+v, %v", done, err)
					}
					sent = done.Earlier
				})
				done, err := w.submit(t.Context())
				if !store.IsTakenOver(err) || !strings.Contains(err.Error(), "was taken over by somebody on there at") || done.Sent != sent {
					t.Errorf("%+v, %v, want %d sent", done, err, sent)
				}
				w.checkOnce()
				if got := w.acts(); !strings.Contains(got, "there went on") || strings.Contains(got, ", here sent all") {
					t.Errorf("acts: %s", got)
				}
			})
		})
	}
}

// Whoever comes last goes on, also where the other one is at work.
func TestSubmitTakesOverFromARunningOne(t *testing.T) {
	inSubmitWorld(t, 2000, func(t *testing.T, w *submitWorld) {
		there := w.machine("there")
		defer there.connection.Close()
		var first sync.WaitGroup
		first.Go(func() {
			if _, err := w.submit(t.Context(), rate(500)); !store.IsTakenOver(err) {
				t.Errorf("the first: %v", err)
			}
		})
		time.Sleep(1500 * time.Millisecond)
		done, err := there.submit(t.Context(), rate(500))
		if err != nil || done.Earlier < 100 || done.Earlier+done.Sent != 2000 {
			t.Errorf("the second: %+v, %v", done, err)
		}
		first.Wait()
		w.checkOnce()
	})
}

// Whoever was taken over learns that it was, although the other one has written nothing yet.
func TestSubmitWaitsForWhoeverTakesOver(t *testing.T) {
	inSubmitWorld(t, 2000, func(t *testing.T, w *submitWorld) {
		there := w.machine("there")
		defer there.connection.Close()
		there.wire.onNth(embedded.AddPartitionsToTxn, 1, func() { time.Sleep(1500 * time.Millisecond) })
		var first sync.WaitGroup
		first.Go(func() {
			if _, err := w.submit(t.Context(), rate(500)); !store.IsTakenOver(err) {
				t.Errorf("the first: %v", err)
			}
		})
		time.Sleep(1500 * time.Millisecond)
		if _, err := there.submit(t.Context(), rate(500)); err != nil {
			t.Errorf("the second: %v", err)
		}
		first.Wait()
		w.checkOnce()
	})
}

// Two that start at the same time end with all rows sent once, by either of them.
func TestSubmitsThatStartTogether(t *testing.T) {
	inSubmitWorld(t, 1000, func(t *testing.T, w *submitWorld) {
		there := w.machine("there")
		defer there.connection.Close()
		var both sync.WaitGroup
		errs := make([]error, 2)
		for i, m := range []*machine{w.here, there} {
			both.Go(func() { _, errs[i] = m.submit(t.Context(), rate(500)) })
		}
		both.Wait()
		for _, err := range errs {
			_, sent := errors.AsType[*submit.AlreadySentError](err)
			if err != nil && !store.IsTakenOver(err) && !sent {
				t.Error(err)
			}
		}
		if errs[0] != nil && errs[1] != nil {
			t.Errorf("both stopped: %v", errs)
		}
		w.checkOnce()
	})
}

// A network on which a chunk does not pass in the time of a transaction.
func TestSubmitSendsSmallerChunksOverASlowNetwork(t *testing.T) {
	inSubmitWorld(t, 2000, func(t *testing.T, w *submitWorld) {
		w.here.wire.onEach(func(api embedded.API, size int) fate {
			if api == embedded.Produce {
				time.Sleep(time.Duration(size) * time.Second / 3000)
			}
			return arrives
		})
		if _, err := w.submit(t.Context(), func(o *submit.Options) { o.ChunkRows = 2000 }); err != nil {
			t.Error(err)
		}
		w.checkOnce()
	})
}
