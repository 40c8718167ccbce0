package sim_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
	"verdict/test/fixture"
)

var (
	seeds = flag.Int("seeds", 20, "number of seeds to simulate")
	from  = flag.Uint64("from", 1, "first seed")
)

// TestMain runs as many seeds side by side as there are cores.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// tally counts what was simulated.
type tally struct {
	mu        sync.Mutex
	seeds     int
	decisions int
	simulated time.Duration
	faults    [faultKinds]int
	acts      [actKinds]int
}

func (c *tally) add(p *plan, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seeds++
	c.decisions += len(p.sends)
	c.simulated += took
	for _, f := range p.faults {
		c.faults[f.kind]++
	}
	for _, a := range p.acts {
		c.acts[a.kind]++
	}
	if *seeds > 50 && c.seeds%50 == 0 {
		fmt.Printf("%d of %d seeds\n", c.seeds, *seeds)
	}
}

func (c *tally) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var faults []string
	total := 0
	for k, n := range c.faults {
		total += n
		faults = append(faults, fmt.Sprintf("%s %d", faultKind(k), n))
	}
	for k, n := range c.acts {
		faults = append(faults, fmt.Sprintf("%s %d", actKind(k), n))
	}
	return fmt.Sprintf("seeds=%d decisions=%d simulated_hours=%.1f faults=%d (%s)", c.seeds, c.decisions, c.simulated.Hours(), total, strings.Join(faults, ", "))
}

func TestSeeds(t *testing.T) {
	t.Parallel()
	if fixture.RaceEnabled() && *seeds == 20 {
		*seeds = 4 // the detector slows a run down tenfold
	}
	var counts tally
	t.Cleanup(func() { fmt.Println(counts.String()) })
	for i := range *seeds {
		seed := *from + uint64(i)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			p := draw(seed)
			var took time.Duration
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				simulate(t, p)
				took = time.Since(began)
			})
			counts.add(&p, took)
		})
	}
}

// simulate plays a plan and checks its history.
func simulate(t *testing.T, p plan) {
	w := newWorld(t, p)
	defer func() {
		w.stopAll() // also after a failure
		if t.Failed() {
			t.Logf("replay: make sim SEEDS=1 FROM=%d\n%s\nthe log:\n%s", p.seed, &p, w.log.String())
		}
	}()
	w.beginLedger()
	for range p.members {
		w.join()
	}
	w.play()
	w.awaitGood()
	w.stopAll()
	h := w.history()
	for _, v := range h.check() {
		t.Error(v)
	}
	if !t.Failed() {
		w.checkNothingIsLeft()
	}
}

// play lets happen what the plan says, each at its time.
func (w *world) play() {
	type event struct {
		at time.Duration
		do func()
	}
	var events []event
	for _, f := range w.plan.faults {
		events = append(events, event{f.at, func() { w.begin(f) }})
		if f.span > 0 {
			events = append(events, event{f.until(), func() { w.end(f) }})
		}
	}
	for i := range w.plan.acts {
		a := &w.plan.acts[i]
		events = append(events, event{a.at, func() { w.beginAct(a) }}, event{a.at + a.span, func() { w.endAct(a) }})
	}
	for i := range w.plan.sends {
		s := &w.plan.sends[i]
		events = append(events, event{s.at, func() { w.submit(s) }})
	}
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	for _, e := range events {
		time.Sleep(e.at - w.since())
		e.do()
	}
}

// settlesWithin is how long after the last fault and the last record every good
// decision is settled, besides the time that the rate limit takes: the longest back-off,
// a session that times out, a rebalance, and what a probe waits.
const settlesWithin = 4 * time.Minute

// awaitGood waits until all is settled that does not always fail.
func (w *world) awaitGood() {
	wanted := 0
	for _, s := range w.sent {
		if s.mustEnd() {
			wanted++
		}
	}
	limit := settlesWithin + time.Duration(4*float64(len(w.sent))/w.plan.rate*float64(time.Second))
	for began := time.Now(); ; time.Sleep(time.Second) {
		synctest.Wait()
		if w.count(w.cfg.Kafka.Topics.Results)+w.count(w.cfg.Kafka.Topics.DeadLetters) >= wanted && len(w.history().lost()) == 0 {
			return
		}
		if time.Since(began) > limit {
			w.t.Errorf("not every good decision is settled %v after the last fault", limit)
			return
		}
	}
}

// checkNothingIsLeft starts a member after all others have stopped. It finds nothing to do
// but what may still be waiting, and where nothing waits the commit is at the end, whatever
// is there.
func (w *world) checkNothingIsLeft() {
	w.mu.Lock()
	before := len(w.calls)
	w.mu.Unlock()
	w.join()
	time.Sleep(time.Minute)
	w.stopAll()
	waiting := w.history().waiting()
	for _, topic := range w.cfg.Kafka.Topics.Inputs() {
		for p := range w.parts[topic] {
			end := w.kafka.HighWatermark(topic, p)
			at := w.place(decision.Position{Topic: topic, Partition: p}, time.Now())
			if committed, _, _ := w.kafka.Committed(w.cfg.Kafka.GroupID, topic, p); committed != end && !waiting[at] {
				w.t.Errorf("partition %d of %s is committed up to %d of %d, and nothing waits in it", p, topic, committed, end)
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.calls[before:] {
		task := decision.NewTask(c.ProfileID, c.TaskID)
		if c.Operation != passfort.OpWhoAmI && w.kinds[task] != poison {
			w.t.Errorf("after the end %s of %v was called again", c.Operation, task)
		}
	}
}

// parseLetter reads a dead letter, and returns where its record was sent.
func (w *world) parseLetter(rec *decision.Record) (decision.DeadRecord, decision.Position) {
	d, err := decision.ParseDeadLetter(rec)
	if err != nil {
		w.t.Fatal(err)
	}
	at := d.Original.Time
	if at.IsZero() { // a batch that can't be read has none
		at = d.FailedAt.Time
	}
	return d, w.place(d.Original.Origin(), at)
}

// history returns what happened so far.
func (w *world) history() *history {
	h := &history{
		plan: &w.plan, sent: w.sent, joins: w.joined, burst: w.cfg.API.Burst, copies: w.copies, found: w.found,
		acts: make(map[decision.Task]int), final: make(map[decision.Task]decision.State),
	}
	for _, rec := range w.read(w.cfg.Kafka.Topics.Results, nil) {
		r, err := decision.ParseResult(rec.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		h.ends = append(h.ends, ending{
			of: w.place(r.Origin, r.ReceivedAt.Time), outcome: string(r.Outcome), task: decision.NewTask(r.ProfileID, r.TaskID), state: r.State,
		})
	}
	for _, rec := range w.read(w.cfg.Kafka.Topics.DeadLetters, nil) {
		d, at := w.parseLetter(&rec)
		h.ends = append(h.ends, ending{of: at, outcome: string(d.Reason), why: d.Error})
		if s := w.sent[at]; s != nil && d.Reason == decision.Cancelled {
			s.ended = true
		}
	}
	for task := range w.kinds {
		h.acts[task] = w.api.Completions(task.ProfileID, task.TaskID)
		h.final[task] = w.api.State(task.ProfileID, task.TaskID)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	h.calls = append([]sandbox.Call(nil), w.calls...)
	h.errs = w.errs
	return h
}

// TestThousandDecisionsOverTenMinutes says how long such a run takes without faults.
func TestThousandDecisionsOverTenMinutes(t *testing.T) {
	p := plan{seed: 1, rate: 50, workers: 64, members: 2, calm: true}
	for i := range 1000 {
		p.sends = append(p.sends, send{at: time.Duration(i) * 600 * time.Millisecond, task: task(i), state: decision.CompletedPass, lane: decision.Lane(i % 2)})
	}
	began := time.Now()
	synctest.Test(t, func(t *testing.T) { simulate(t, p) })
	t.Logf("took %v", time.Since(began).Round(time.Millisecond))
}
