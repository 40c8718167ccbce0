package policy

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"verdict/internal/broker"
	"verdict/internal/decision"
	"verdict/metrics"
)

// kafka is an in-memory publisher and state topic with one partition.
type kafka struct {
	mu        sync.Mutex
	published []decision.Record
	states    []decision.Record
}

func (k *kafka) Publish(_ context.Context, rec decision.Record, done func(error)) error {
	k.mu.Lock()
	k.published = append(k.published, rec)
	k.mu.Unlock()
	go done(nil)
	return nil
}

func (k *kafka) Bounds(context.Context, string) (map[int]broker.Bound, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return map[int]broker.Bound{0: {End: int64(len(k.states))}}, nil
}

func (k *kafka) Scan(_ context.Context, o broker.ScanOptions, each func(decision.Record) error) error {
	k.mu.Lock()
	states := slices.Clone(k.states[o.Offsets[0]:o.Ends[0]])
	k.mu.Unlock()
	for _, rec := range states {
		if err := each(rec); err != nil {
			return err
		}
	}
	return nil
}

func (k *kafka) Append(_ context.Context, _ string, _ int, records []decision.Record) (int64, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.states = append(k.states, records...)
	return int64(len(k.states) - len(records)), nil
}

// claim records what is settled.
type claim struct {
	mu      sync.Mutex
	settled []int64
	lost    bool
}

func (c *claim) Settle(offset int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settled = append(c.settled, offset)
}

func (c *claim) Lost() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

// inDecider runs a test with a Decider, a kafka and a claim in a synctest bubble.
func inDecider(t *testing.T, change func(*Decider), test func(accept func(values ...string), k *kafka, c *claim)) {
	synctest.Test(t, func(t *testing.T) {
		k, c := &kafka{}, &claim{}
		d, err := New(Options{
			Policies: Default(), Publisher: k, Log: k, State: StateTopic, Decisions: "decisions", DeadLetters: "letters", MaxBytes: 1 << 20,
			Metrics: metrics.NewPolicy(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(d)
		}
		ctx, stop := context.WithCancel(t.Context())
		offset := int64(0)
		test(func(values ...string) {
			for _, value := range values {
				if err := d.Accept(ctx, c, decision.Record{Topic: "checks", Offset: offset, Value: []byte(value), Time: now}); err != nil {
					t.Error(err)
				}
				offset++
			}
			synctest.Wait()
		}, k, c)
		stop()
		d.Drain(t.Context(), []Claim{c})
	})
}

func fail(id string) string {
	return fmt.Sprintf(`{"profile_id":%q,"task_id":%q,"check_id":%q,"decision":"FAIL"}`, profile, task1, id)
}

// TestDeciderMakesAPanicADeadLetter also checks that the records of the batch before
// it count once.
func TestDeciderMakesAPanicADeadLetter(t *testing.T) {
	inDecider(t, func(d *Decider) {
		d.decode = func(rec *decision.Record) (Check, bool, error) {
			if strings.Contains(string(rec.Value), "poison") {
				panic("by the test")
			}
			return Decode(rec)
		}
	}, func(accept func(...string), k *kafka, c *claim) {
		accept(fail("a"))
		accept(fail("b"), "poison 1", "poison 2", fail("c"))
		if len(k.published) != 3 {
			t.Fatalf("published %v", k.published)
		}
		for i, rec := range k.published[:2] {
			letter, err := decision.ParseDeadLetter(&rec)
			if err != nil || letter.Reason != decision.InvalidEvent || letter.Error != "panic: by the test" || string(rec.Value) != fmt.Sprintf("poison %d", i+1) {
				t.Errorf("%+v, %v", letter, err)
			}
		}
		if d := string(k.published[2].Value); !strings.Contains(d, "failed by 3 checks: a, b, c") {
			t.Error(d)
		}
		if want := []int64{0, 1, 2, 3, 4}; !slices.Equal(c.settled, want) {
			t.Errorf("settled %v, want %v", c.settled, want)
		}
	})
}

// TestDeciderPublishesNothingForALostPartition: neither decisions nor counts, and it
// settles nothing.
func TestDeciderPublishesNothingForALostPartition(t *testing.T) {
	inDecider(t, nil, func(accept func(...string), k *kafka, c *claim) {
		accept(fail("a"), fail("b"))
		c.mu.Lock()
		c.lost = true
		c.mu.Unlock()
		states := len(k.states)
		accept(fail("c"))
		if len(k.published) != 0 || len(k.states) != states || len(c.settled) != 2 {
			t.Errorf("published %d, %d states more, settled %v", len(k.published), len(k.states)-states, c.settled)
		}
	})
}

// TestAcceptWaitsAtMaxBytes checks that the records held are bounded by their bytes.
func TestAcceptWaitsAtMaxBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, c := &kafka{}, &claim{}
		stuck := make(chan struct{})
		d, err := New(Options{
			Policies: Default(), Publisher: stuckPublisher(stuck), Log: k, State: StateTopic, Decisions: "decisions", DeadLetters: "letters",
			MaxBytes: 100, Metrics: metrics.NewPolicy(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		accepted := 0
		for d.Accept(ctx, c, decision.Record{Value: []byte("thirty bytes of no check result")}) == nil {
			accepted++
		}
		if accepted != 3 {
			t.Errorf("%d records of 31 bytes were accepted, want 3", accepted)
		}
		close(stuck)
		d.Drain(t.Context(), []Claim{c})
		if !d.held.TryAcquire(100) {
			t.Error("bytes are not released")
		}
	})
}

// stuckPublisher acknowledges when its channel is closed.
type stuckPublisher chan struct{}

func (p stuckPublisher) Publish(_ context.Context, _ decision.Record, done func(error)) error {
	go func() { <-p; done(nil) }()
	return nil
}
