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

	"verdict/configs"
	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/metrics"
)

// stage is a processor between fakes that fail or panic where a test wants it.
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
	states    map[string]decision.State // of tasks, at the API; none: incomplete
	others    []Claim                   // of further partitions; see claim
	answer    []byte                    // to completions

	onCall      func(op, task string)
	fails       func(op, task string) error     // what a completion or a look fails with; nil: none does
	listed      string                          // the task of alias a; empty: listedID
	onPublish   func(rec decision.Record) error // before it is taken: it may panic, or be what done is told
	onSettle    func(offset int64)
	onAttempted func()
	onFetch     func()
	records     map[int64]decision.Record // that can be fetched again
}

// onStage runs a test on a stage in a bubble.
func onStage(t *testing.T, test func(s *stage), change ...func(*Options)) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t, metrics: metrics.New(prometheus.NewRegistry()), states: make(map[string]decision.State), records: make(map[int64]decision.Record)}
		cfg := configs.Default()
		options := Options{
			API: s, Publisher: s, Metrics: s.metrics, Logger: slog.New(slog.NewTextHandler(&lockedBuffer{mu: &s.mu, b: &s.log}, nil)),
			Decode:  func(_ context.Context, rec *decision.Record) (decision.Decision, error) { return decision.Decode(rec) },
			Results: "results", DeadLetters: "dead", MaxAttempts: 3, Workers: 4, Burst: cfg.API.Burst,
			MaxPending: cfg.Processor.MaxPending, MaxBytes: int64(cfg.Processor.MaxPendingBytes),
			BackoffMin: cfg.Processor.BackoffMin, BackoffMax: cfg.Processor.BackoffMax,
			Preflight: cfg.Processor.Preflight, OnConflict: cfg.Processor.OnConflict,
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
		p.Drain(drain, append(s.others, s))
		done()
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("draining took %v", took)
		}
		cancel()
		running.Wait()
		s.wantNothingLeft()
	})
}

// wantNothingLeft wants every count of the processor at zero.
func (s *stage) wantNothingLeft() {
	s.t.Helper()
	p := s.p
	for _, lane := range decision.Lanes {
		if n := p.m.admission.room.Items(lane); n != 0 {
			s.t.Errorf("%d decisions of lane %s are still held", n, lane)
		}
	}
	if !p.m.load.none() {
		s.t.Errorf("after the end %v are in flight, %v settling", p.m.load.inFlight, p.m.load.settling)
	}
	if !p.m.queue.Empty() || len(p.m.claims) != 0 || len(p.m.listing) != 0 {
		s.t.Errorf("after the end: queue empty %v, %d claims, %d look-ups", p.m.queue.Empty(), len(p.m.claims), len(p.m.listing))
	}
	if !p.m.parking.Empty() || len(p.m.cancelling) != 0 {
		s.t.Errorf("after the end: parking empty %v, %d to be cancelled", p.m.parking.Empty(), len(p.m.cancelling))
	}
	if !p.m.reviews.Empty() || len(p.m.reviewCalls) != 0 {
		s.t.Errorf("after the end: reviews empty %v, %d review calls", p.m.reviews.Empty(), len(p.m.reviewCalls))
	}
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
	s.states[task] = state
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
	return passfort.Task{State: cmp.Or(s.states[task], decision.Incomplete)}, passfort.Response{Status: 200}, nil
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

// Fetch finds the records of submitFrom.
func (s *stage) Fetch(_ context.Context, offsets []int64) (found []decision.Record, err error) {
	if s.onFetch != nil {
		s.onFetch()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, offset := range offsets {
		if rec, ok := s.records[offset]; ok {
			found = append(found, rec)
		}
	}
	return found, nil
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

// submitFrom hands a decision over, in a record that a run wrote at this offset.
func (s *stage) submitFrom(run string, offset int64, value string) {
	s.t.Helper()
	rec := decision.Record{
		Topic: "decisions", Offset: offset, Key: fmt.Append(nil, offset), Value: []byte(value), Time: time.Now(),
		Headers: []decision.Header{{Key: decision.HeaderRun, Value: []byte(run)}},
	}
	s.mu.Lock()
	s.records[offset] = rec
	s.mu.Unlock()
	if err := s.p.Submit(s.t.Context(), decision.Live, s, rec, decision.Progress{}); err != nil {
		s.t.Fatal(err)
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

func byAlias(profile int, alias string, more string) string {
	return fmt.Sprintf(`{"profile_id":"00000000-0000-0000-0000-%012x","task":{"alias":%q},"state":"COMPLETED_PASS"%s}`, profile, alias, more)
}

// outcomes is what was published, by key: the topic, and the header of a dead
// letter's reason.
func (s *stage) outcomes() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]string)
	for _, rec := range s.published {
		said := rec.Topic
		for _, h := range rec.Headers {
			if h.Key == decision.HeaderReason {
				said += " " + string(h.Value)
			}
		}
		if before, twice := all[string(rec.Key)]; twice {
			said = before + ", " + said
		}
		all[string(rec.Key)] = said
	}
	return all
}

func (s *stage) await(n int) {
	s.t.Helper()
	for range 1000 {
		time.Sleep(100 * time.Millisecond)
		s.mu.Lock()
		settled := len(s.settled)
		s.mu.Unlock()
		if settled >= n {
			synctest.Wait()
			return
		}
	}
	s.t.Fatalf("%d are settled, want %d: %v", len(s.settled), n, s.outcomes())
}

// onProfile is a decision on a task of a profile.
func onProfile(profile, task int, more string) string {
	return fmt.Sprintf(`{"profile_id":"00000000-0000-0000-0000-%012x","task_id":%q,"state":"COMPLETED_PASS"%s}`, profile, taskID(task), strings.TrimSpace(more))
}
