package processor

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/metrics"
)

// stage is a processor between fakes that panic where a test wants it.
type stage struct {
	t       *testing.T
	p       *Processor
	log     bytes.Buffer
	metrics *metrics.Metrics

	mu        sync.Mutex
	calls     []string // "complete" or "get" and the task, in order
	asked     []string // what Publish was asked to take: topic and key, in order
	published []decision.Record
	settled   []int64
	completed map[string]bool // tasks, at the API
	answer    []byte          // to completions

	onCall      func(op, task string)
	fails       func(op, task string) error     // what a completion or a look fails with; nil: none does
	listed      string                          // the task of alias a; empty: listedID
	onPublish   func(rec decision.Record) error // before it is taken: it may panic, or be what done is told
	onSettle    func(offset int64)
	onAttempted func()
}

// onStage runs a test on a stage in a bubble.
func onStage(t *testing.T, test func(s *stage), change ...func(*Options)) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t, metrics: metrics.New(prometheus.NewRegistry()), completed: make(map[string]bool)}
		options := Options{
			API: s, Publisher: s, Metrics: s.metrics, Logger: slog.New(slog.NewTextHandler(&lockedBuffer{mu: &s.mu, b: &s.log}, nil)),
			Results: "results", DeadLetters: "dead", MaxAttempts: 3, Workers: 4,
		}
		for _, c := range change {
			c(&options)
		}
		p, err := New(options)
		if err != nil {
			t.Fatal(err)
		}
		s.p = p
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { p.Run(ctx) })
		test(s)
		drain, done := context.WithTimeout(t.Context(), time.Minute)
		began := time.Now()
		p.Drain(drain, []Claim{s})
		done()
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("draining took %v", took)
		}
		cancel()
		running.Wait()
		if n := p.queue.lanes[decision.Live].pending; n != 0 {
			t.Errorf("%d decisions are still held", n)
		}
		if p.settling != [len(decision.Lanes)]int{} || p.inFlight != [len(decision.Lanes)]int{} {
			t.Errorf("settling %d, in flight %v after the end", p.settling, p.inFlight)
		}
		if q := p.queue; len(q.tasks) != 0 || len(q.delayed) != 0 || q.gates != 0 || len(q.profiles) != 0 || len(p.claims) != 0 || len(p.lookups.flights) != 0 {
			t.Errorf("after the end there are %d tasks, %d delayed, %d gates, %d profiles, %d claims, %d look-ups",
				len(q.tasks), len(q.delayed), q.gates, len(q.profiles), len(p.claims), len(p.lookups.flights))
		}
		if f := &p.profiles; len(f.known) != 0 || f.held != [len(decision.Lanes)]int{} || f.bytes != [len(decision.Lanes)]int{} {
			t.Errorf("after the end %d profiles are known, %d results are held, of %d bytes", len(f.known), f.held, f.bytes)
		}
	})
}

type lockedBuffer struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (s *stage) call(op, task string) {
	s.mu.Lock()
	s.calls = append(s.calls, op+" "+task)
	s.mu.Unlock()
	if s.onCall != nil {
		s.onCall(op, task)
	}
}

func (s *stage) CompleteTask(_ context.Context, _, task string, state decision.State) (passfort.Task, passfort.Response, error) {
	s.call("complete", task)
	if s.fails != nil {
		if err := s.fails("complete", task); err != nil {
			return passfort.Task{}, passfort.Response{}, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.completed[task] = true
	return passfort.Task{State: state, Raw: s.answer}, passfort.Response{Status: 200}, nil
}

func (s *stage) GetTask(_ context.Context, _, task string) (passfort.Task, passfort.Response, error) {
	s.call("get", task)
	if s.fails != nil {
		if err := s.fails("get", task); err != nil {
			return passfort.Task{}, passfort.Response{}, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	state := decision.Incomplete
	if s.completed[task] {
		state = decision.CompletedPass
	}
	return passfort.Task{State: state}, passfort.Response{Status: 200}, nil
}

// ListTasks knows one task, of alias a.
func (s *stage) ListTasks(_ context.Context, profile string) ([]passfort.Task, passfort.Response, error) {
	s.call("list", profile)
	s.mu.Lock()
	defer s.mu.Unlock()
	return []passfort.Task{{ID: cmp.Or(s.listed, listedID), State: decision.CompletedPass, Variant: passfort.Variant{Alias: "a"}}}, passfort.Response{Status: 200}, nil
}

const listedID = "00000000-0000-0000-0000-0000000000aa"

func (s *stage) WhoAmI(context.Context) (passfort.Identity, passfort.Response, error) {
	return passfort.Identity{}, passfort.Response{Status: 200}, nil
}

// Publish calls done from a goroutine of its own, as the publisher does.
func (s *stage) Publish(_ context.Context, rec decision.Record, done func(error)) error {
	s.mu.Lock()
	s.asked = append(s.asked, rec.Topic+" "+string(rec.Key))
	s.mu.Unlock()
	var err error
	if s.onPublish != nil {
		err = s.onPublish(rec)
	}
	if err == nil {
		s.mu.Lock()
		s.published = append(s.published, rec)
		s.mu.Unlock()
	}
	go done(err)
	return nil
}

func (s *stage) Settle(offset int64) {
	if s.onSettle != nil {
		s.onSettle(offset)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled = append(s.settled, offset)
}

func (s *stage) Attempted(int64, decision.Progress) {
	if s.onAttempted != nil {
		s.onAttempted()
	}
}

// submit hands decisions over, each on its own task.
func (s *stage) submit(values ...string) {
	s.t.Helper()
	for i, value := range values {
		rec := decision.Record{Topic: "decisions", Offset: int64(i), Key: fmt.Append(nil, i), Value: []byte(value), Time: time.Now()}
		if err := s.p.Submit(s.t.Context(), decision.Live, s, rec, decision.Progress{}); err != nil {
			s.t.Fatal(err)
		}
	}
	s.p.Assigned(1, 1)
}

func decisionOn(n int, more string) string {
	return fmt.Sprintf(`{"profile_id":"11111111-1111-1111-1111-111111111111","task_id":%q,"state":"COMPLETED_PASS"%s}`, taskID(n), more)
}

func taskID(n int) string { return fmt.Sprintf("22222222-2222-2222-2222-%012d", n) }

// ends says how the decision with a key ended, as "topic reason" of what was
// published for it.
func (s *stage) ends(key string) (ends []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rec := range s.published {
		if string(rec.Key) != key {
			continue
		}
		var end strings.Builder
		end.WriteString(rec.Topic)
		for _, h := range rec.Headers {
			if h.Key == decision.HeaderReason {
				end.WriteString(" " + string(h.Value))
			}
		}
		ends = append(ends, end.String())
	}
	return ends
}

func (s *stage) wantEnd(key, want string) {
	s.t.Helper()
	if got := s.ends(key); len(got) != 1 || got[0] != want {
		s.t.Errorf("decision %s ended with %q, want %q once", key, got, want)
	}
}

func (s *stage) wantSettled(n int) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.settled) != n {
		s.t.Errorf("settled %v, want %d offsets once", s.settled, n)
	}
}

// wantStack wants the panic told with the place that it came from.
func (s *stage) wantStack() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if log := s.log.String(); !strings.Contains(log, "panic_test.go") || !strings.Contains(log, "level=ERROR") {
		s.t.Errorf("no stack in the log:\n%s", log)
	}
}

func TestAPanicInACallCostsItsDecisionOneAttempt(t *testing.T) {
	onStage(t, func(s *stage) {
		times := 0
		s.onCall = func(_, task string) {
			if task == taskID(0) && times == 0 {
				times++
				panic("on the way to the API")
			}
		}
		s.submit(decisionOn(0, ""), decisionOn(1, ""))
		time.Sleep(time.Minute)
		s.wantEnd("0", "results")
		s.wantEnd("1", "results")
		s.wantSettled(2)
		s.wantStack()
	})
}

func TestADecisionThatAlwaysPanicsIsDeadLettered(t *testing.T) {
	for name, prepare := range map[string]func(s *stage){
		"in the call": func(s *stage) {
			s.onCall = func(_, task string) {
				if task == taskID(0) {
					panic("call")
				}
			}
		},
		"while its result is published": func(s *stage) {
			s.onPublish = func(rec decision.Record) error {
				if rec.Topic == "results" && string(rec.Key) == "0" {
					panic("publish")
				}
				return nil
			}
		},
		"after its result was too large": func(s *stage) {
			refused := false
			s.onPublish = func(rec decision.Record) error {
				switch {
				case rec.Topic != "results" || string(rec.Key) != "0":
					return nil
				case !refused:
					refused = true
					return decision.ErrTooLarge
				}
				panic("publish the smaller one")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				prepare(s)
				s.submit(decisionOn(0, ""), decisionOn(1, ""))
				time.Sleep(5 * time.Minute)
				s.wantEnd("0", "dead retries_exhausted")
				s.wantEnd("1", "results")
				s.wantSettled(2)
				s.wantStack()
			})
		})
	}
}

func TestAPanicWhileADecisionThatNeedsNoCallEndsIsItsOwn(t *testing.T) {
	for name, value := range map[string]string{
		"invalid": `{"state":`,
		"expired": decisionOn(0, `,"expires_at":"1999-01-01T00:00:00Z"`),
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				times := 0
				s.onPublish = func(rec decision.Record) error {
					if times < 2 && string(rec.Key) == "0" {
						times++
						panic("publish")
					}
					return nil
				}
				s.submit(value, decisionOn(1, ""))
				time.Sleep(5 * time.Minute)
				want := map[string]string{"invalid": "dead invalid_event", "expired": "dead expired"}[name]
				s.wantEnd("0", want)
				s.wantEnd("1", "results")
				s.wantSettled(2)
				s.wantStack()
			})
		})
	}
}

func TestADecisionWhoseDeadLetterPanicsTooIsTriedSlowlyForEver(t *testing.T) {
	for name, value := range map[string]string{"decision": decisionOn(0, ""), "invalid": "{", "expired": decisionOn(0, `,"expires_at":"1999-01-01T00:00:00Z"`)} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				s.onPublish = func(rec decision.Record) error {
					if string(rec.Key) == "0" {
						panic("always")
					}
					return nil
				}
				s.submit(value, decisionOn(1, ""))
				time.Sleep(2 * time.Hour)
				s.wantEnd("1", "results")
				s.wantSettled(1)
				s.mu.Lock()
				asked, calls := 0, 0
				for _, a := range s.asked {
					if strings.HasSuffix(a, " 0") {
						asked++
					}
				}
				for _, c := range s.calls {
					if strings.HasSuffix(c, taskID(0)) {
						calls++
					}
				}
				s.mu.Unlock()
				// Half of a minute on average; and no call beyond the attempts.
				if asked < 60 || asked > 600 {
					t.Errorf("asked to publish %d times in two hours", asked)
				}
				if calls > 6 {
					t.Errorf("%d calls for a decision of 3 attempts", calls)
				}
			})
		})
	}
}

func TestAPanicAfterTheAcknowledgementPublishesNothingTwice(t *testing.T) {
	onStage(t, func(s *stage) {
		times := 0
		s.onSettle = func(offset int64) {
			if offset == 0 && times < 5 {
				times++
				panic("settle")
			}
		}
		s.submit(decisionOn(0, ""), decisionOn(1, ""))
		time.Sleep(10 * time.Minute)
		s.wantEnd("0", "results")
		s.wantEnd("1", "results")
		s.wantSettled(2)
		s.wantStack()
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.calls) != 2 {
			t.Errorf("calls %v, want one for each decision", s.calls)
		}
	})
}
