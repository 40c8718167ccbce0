package processor

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"weak"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/processor/recent"
)

const pass, failed = decision.CompletedPass, decision.CompletedFail

// sent is a decision on its way to a stage.
type sent struct {
	value     string
	partition int
	event     bool // the value is a CloudEvent
}

func (d sent) in(partition int) sent {
	d.partition = partition
	return d
}

const ofProfile = `"profile_id":"11111111-1111-1111-1111-111111111111"`

// byID returns a decision on a task; without an ID if id is empty.
func byID(id string, task int, state decision.State) sent {
	own := ""
	if id != "" {
		own = fmt.Sprintf(`"id":%q,`, id)
	}
	return sent{value: fmt.Sprintf(`{%s%s,"task_id":%q,"state":%q}`, own, ofProfile, taskID(task), state)}
}

// ofAlias returns a decision on the task of alias a.
func ofAlias(id string, state decision.State) sent {
	return sent{value: fmt.Sprintf(`{"id":%q,%s,"task":{"alias":"a"},"state":%q}`, id, ofProfile, state)}
}

// ofListed returns a decision that names the task of alias a by its ID.
func ofListed(id string, state decision.State) sent {
	return sent{value: fmt.Sprintf(`{"id":%q,%s,"task_id":%q,"state":%q}`, id, ofProfile, listedID, state)}
}

// eventOf returns a decision with the ID of an event of a source.
func eventOf(source, id string, task int, state decision.State) sent {
	return sent{event: true, value: fmt.Sprintf(`{"specversion":"1.0","type":"t","source":%q,"id":%q,"data":%s}`, source, id, byID("", task, state).value)}
}

// claim returns the claim of a partition: the stage itself for partition 0.
func (s *stage) claim(partition int) Claim {
	for len(s.others) < partition {
		s.others = append(s.others, &otherClaim{s})
	}
	if partition == 0 {
		return s
	}
	return s.others[partition-1]
}

// otherClaim is a further claim of a stage.
type otherClaim struct{ *stage }

// put submits a decision under a number, which is its offset and its key.
func (s *stage) put(n int, d sent) {
	s.t.Helper()
	rec := decision.Record{Topic: "decisions", Partition: d.partition, Offset: int64(n), Key: fmt.Append(nil, n), Value: []byte(d.value), Time: time.Now()}
	if d.event {
		rec.Headers = []decision.Header{{Key: "content-type", Value: []byte("application/cloudevents+json")}}
	}
	if err := s.p.Submit(s.t.Context(), decision.Live, s.claim(d.partition), rec, decision.Progress{}); err != nil {
		s.t.Fatal(err)
	}
}

// carryOut submits decisions, each once the one before is settled, and returns
// how they ended, each by its outcome or its reason.
func (s *stage) carryOut(all ...sent) string {
	s.t.Helper()
	s.p.Assigned(1, 1)
	var ends []string
	for _, d := range all {
		s.mu.Lock()
		n := len(s.settled)
		s.mu.Unlock()
		s.put(n, d)
		s.await(n + 1)
		ends = append(ends, s.end(n))
	}
	return strings.Join(ends, " ")
}

// end returns how the decision with a number ended.
func (s *stage) end(n int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rec := range s.published {
		if string(rec.Key) != fmt.Sprint(n) {
			continue
		}
		if letter, err := decision.ParseDeadLetter(&rec); err == nil {
			return string(letter.Reason)
		}
		var r decision.Result
		if err := json.Unmarshal(rec.Value, &r); err != nil {
			s.t.Fatal(err)
		}
		return string(r.Outcome)
	}
	return "unsettled"
}

func (s *stage) wantReused(n float64) {
	s.t.Helper()
	if got := testutil.ToFloat64(s.metrics.IDReuse); got != n {
		s.t.Errorf("verdict_id_reuse_total is %v, want %v", got, n)
	}
	if warned := len(s.reuseWarnings()) > 0; warned != (n > 0) {
		s.t.Errorf("warned: %v", warned)
	}
}

func (s *stage) reuseWarnings() (lines []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, "the ID of a decision was another decision's") {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestOnlyTheSameDecisionIsADuplicate(t *testing.T) {
	for name, test := range map[string]struct {
		first, second sent
		want          string
		reused        float64
	}{
		"the same":                        {byID("d", 1, pass), byID("d", 1, pass), "duplicate", 0},
		"another ID":                      {byID("d", 1, pass), byID("e", 1, pass), "completed", 0},
		"another task":                    {byID("d", 1, pass), byID("d", 2, pass), "completed", 1},
		"another state":                   {byID("d", 1, pass), byID("d", 1, failed), "completed", 1},
		"by alias":                        {byID("d", 1, pass), ofAlias("d", pass), "completed", 1},
		"an event's":                      {byID("d", 1, pass), eventOf("/a", "d", 1, pass), "completed", 1},
		"the same event":                  {eventOf("/a", "d", 1, pass), eventOf("/a", "d", 1, pass), "duplicate", 0},
		"an event of another source":      {eventOf("/a", "d", 1, pass), eventOf("/b", "d", 1, pass), "completed", 1},
		"the same, elsewhere":             {byID("d", 1, pass), byID("d", 1, pass).in(1), "completed", 0},
		"another task, elsewhere":         {byID("d", 1, pass), byID("d", 2, pass).in(1), "completed", 1},
		"without IDs":                     {byID("", 1, pass), byID("", 1, pass), "completed", 0},
		"the same alias":                  {ofAlias("d", pass), ofAlias("d", pass), "duplicate", 0},
		"the same alias in another state": {ofAlias("d", pass), ofAlias("d", failed), "completed", 1},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				if got, want := s.carryOut(test.first, test.second), "completed "+test.want; got != want {
					t.Errorf("ended as %s, want %s", got, want)
				}
				s.wantReused(test.reused)
			})
		})
	}
}

func TestReusedIDIsADuplicateOfEither(t *testing.T) {
	onStage(t, func(s *stage) {
		got := s.carryOut(byID("d", 1, pass), byID("d", 2, pass), byID("d", 1, pass), byID("d", 2, pass))
		if want := "completed completed duplicate duplicate"; got != want {
			t.Errorf("ended as %s, want %s", got, want)
		}
		s.wantReused(1)
	})
}

func TestReusedIDIsCountedWhereBothAreUnderWay(t *testing.T) {
	onStage(t, func(s *stage) {
		s.onCall = func(string, string) { time.Sleep(time.Second) }
		s.p.Assigned(1, 1)
		s.put(0, byID("d", 1, pass))
		s.put(1, byID("d", 2, pass))
		s.await(2)
		s.wantReused(1)
	})
}

func TestReusedIDsAreLoggedOnceAMinute(t *testing.T) {
	onStage(t, func(s *stage) {
		reuse := func(from, to int) {
			for i := from; i < to; i++ {
				s.carryOut(byID("the-id", i, pass))
			}
		}
		reuse(0, 11)
		time.Sleep(time.Minute)
		reuse(11, 12)
		s.wantReused(11)
		lines := s.reuseWarnings()
		if len(lines) != 2 || !strings.Contains(lines[0], "decision_id=the-id") || !strings.Contains(lines[0], "origin=decisions/0/1 ") || !strings.Contains(lines[1], "unlogged=9") {
			t.Errorf("logged %q", lines)
		}
	})
}

// TestRepeatAfterAnotherDecisionLooksFirst has a decision, others on its task, and
// the first once more.
func TestRepeatAfterAnotherDecisionLooksFirst(t *testing.T) {
	first := byID("d", 1, pass)
	for name, test := range map[string]struct {
		all        []sent
		onConflict decision.OnConflict
		want       string
	}{
		"in the opposite state":       {[]sent{first, byID("e", 1, failed), first}, decision.ConflictDeadLetter, "completed completed conflict"},
		"to be skipped":               {[]sent{first, byID("e", 1, failed), first}, decision.ConflictSkip, "completed completed skipped"},
		"to be overwritten":           {[]sent{first, byID("e", 1, failed), first}, decision.ConflictOverwrite, "completed completed completed"},
		"in the same state":           {[]sent{first, byID("e", 1, pass), first}, decision.ConflictDeadLetter, "completed completed already_complete"},
		"without an ID":               {[]sent{first, byID("", 1, failed), first}, decision.ConflictDeadLetter, "completed completed conflict"},
		"with the same ID":            {[]sent{first, byID("d", 1, failed), first}, decision.ConflictDeadLetter, "completed completed conflict"},
		"in another partition":        {[]sent{first, byID("e", 1, failed).in(1), first}, decision.ConflictDeadLetter, "completed completed conflict"},
		"on another task":             {[]sent{first, byID("e", 2, failed), first}, decision.ConflictDeadLetter, "completed completed duplicate"},
		"by alias":                    {[]sent{ofAlias("d", pass), ofAlias("e", failed), ofAlias("d", pass)}, decision.ConflictDeadLetter, "completed completed conflict"},
		"by ID, and by alias between": {[]sent{ofListed("d", pass), ofAlias("e", failed), ofListed("d", pass)}, decision.ConflictDeadLetter, "completed completed conflict"},
		"by alias, and by ID between": {[]sent{ofAlias("d", pass), ofListed("e", failed), ofAlias("d", pass)}, decision.ConflictDeadLetter, "completed completed conflict"},
		"and itself, several times":   {[]sent{first, byID("e", 1, failed), first, first}, decision.ConflictDeadLetter, "completed completed conflict conflict"},
		"and the other after it":      {[]sent{first, byID("e", 1, failed), first, byID("e", 1, failed)}, decision.ConflictDeadLetter, "completed completed conflict already_complete"},
		"overwritten, and once more":  {[]sent{first, byID("e", 1, failed), first, first}, decision.ConflictOverwrite, "completed completed completed duplicate"},
		"dead-lettered, perhaps done": {[]sent{first, byID("e", 9, failed), byID("f", 1, failed), first}, decision.ConflictDeadLetter, "completed completed rejected already_complete"},
	} {
		for _, preflight := range []decision.Preflight{decision.PreflightRetry, decision.PreflightNever} {
			t.Run(fmt.Sprintf("%s, preflight %s", name, preflight), func(t *testing.T) {
				onStage(t, func(s *stage) {
					s.fails = func(op, task string) error {
						if op == "complete" && s.end(1) == "completed" && s.end(2) == "unsettled" && strings.HasPrefix(name, "dead-lettered") {
							return &passfort.Error{Kind: passfort.KindRejected, Status: 422}
						}
						return nil
					}
					if got := s.carryOut(test.all...); got != test.want {
						t.Errorf("ended as %s, want %s", got, test.want)
					}
				}, func(o *Options) { o.Preflight, o.OnConflict = preflight, test.onConflict })
			})
		}
	}
}

// TestRepeatDoesNotCompleteAnOpenedTask: the decision was carried out, and a
// person opened the task again.
func TestRepeatDoesNotCompleteAnOpenedTask(t *testing.T) {
	onStage(t, func(s *stage) {
		s.carryOut(byID("d", 1, pass), byID("e", 1, failed))
		s.mu.Lock()
		s.states[taskID(1)] = decision.Incomplete
		s.mu.Unlock()
		if got := s.carryOut(byID("d", 1, pass)); got != "duplicate" {
			t.Errorf("ended as %s", got)
		}
		if s.states[taskID(1)] != decision.Incomplete {
			t.Errorf("the task is %s", s.states[taskID(1)])
		}
	})
}

// TestRepeatLooksUntilItIsAnswered: the look fails at first.
func TestRepeatLooksUntilItIsAnswered(t *testing.T) {
	onStage(t, func(s *stage) {
		s.carryOut(byID("d", 1, pass), byID("e", 1, failed))
		looks := 0
		s.fails = func(op, _ string) error {
			if looks++; op == "get" && looks < 3 {
				return errors.New("cut")
			}
			return nil
		}
		if got := s.carryOut(byID("d", 1, pass)); got != "conflict" || s.states[taskID(1)] != failed {
			t.Errorf("ended as %s, the task is %s", got, s.states[taskID(1)])
		}
	}, func(o *Options) { o.Preflight = decision.PreflightNever })
}

// TestRepeatByAliasWaitsForItsTask: at its profile's gate, the repeat is not in
// line yet behind the decision that is about to overtake it.
func TestRepeatByAliasWaitsForItsTask(t *testing.T) {
	onStage(t, func(s *stage) {
		s.carryOut(ofAlias("d", pass))
		s.onCall = func(op, _ string) {
			if op == "complete" {
				time.Sleep(time.Minute)
			}
		}
		s.put(1, ofAlias("e", failed))
		time.Sleep(time.Second)
		s.put(2, ofAlias("d", pass))
		s.await(3)
		if got := s.end(1) + " " + s.end(2); got != "completed conflict" {
			t.Errorf("ended as %s", got)
		}
	})
}

func TestResultsAndDeadLettersCarryTheKey(t *testing.T) {
	onStage(t, func(s *stage) {
		d, err := decision.Decode(&decision.Record{Value: []byte(byID("d", 1, pass).value)})
		if err != nil {
			t.Fatal(err)
		}
		want := d.Identity().String()
		s.carryOut(byID("d", 1, pass), byID("d", 1, pass))
		s.carryOut(byID("e", 1, failed), byID("d", 1, pass), sent{value: `{"id":"d"}`})
		var keys []string
		for _, rec := range s.published {
			if letter, err := decision.ParseDeadLetter(&rec); err == nil {
				keys = append(keys, string(letter.Reason)+" "+letter.DecisionKey)
			} else if r, err := decision.ParseResult(rec.Value); err == nil && r.DecisionID == "d" {
				keys = append(keys, string(r.Outcome)+" "+r.DecisionKey)
			}
		}
		if all := []string{"completed " + want, "duplicate " + want, "conflict " + want, "invalid_event "}; !slices.Equal(keys, all) {
			t.Errorf("keys %q, want %q", keys, all)
		}
	})
}

func TestDrainFreesWhatIsRemembered(t *testing.T) {
	onStage(t, func(s *stage) {
		s.carryOut(byID("d", 1, pass), byID("e", 1, pass).in(1))
		memory := func(partition int) weak.Pointer[recent.Memory] {
			s.p.owner.mu.Lock()
			defer s.p.owner.mu.Unlock()
			return weak.Make(&s.p.m.claims[s.claim(partition)].recent)
		}
		drained, kept := memory(1), memory(0)
		s.p.Drain(s.t.Context(), []Claim{s.claim(1)})
		runtime.GC()
		if drained.Value() != nil {
			t.Error("a partition that was given up is still remembered")
		}
		if kept.Value() == nil {
			t.Error("a partition that is still there is not remembered")
		}
		if got := s.carryOut(byID("d", 1, pass), byID("e", 1, pass).in(1)); got != "already_complete completed" {
			t.Errorf("ended as %s", got)
		}
	})
}

// TestDecisionsWithoutAnIDTakeNoMemory: the coordinates of a record can't come
// back, so they must not push IDs out.
func TestDecisionsWithoutAnIDTakeNoMemory(t *testing.T) {
	onStage(t, func(s *stage) {
		s.carryOut(byID("", 1, pass))
		d := decision.Decision{ID: "decisions/0/0"}
		s.p.owner.mu.Lock()
		defer s.p.owner.mu.Unlock()
		if s.p.m.claims[s].recent.HasID(recent.PrintOf(&d, d.Identity(), d.Task)) {
			t.Error("it is remembered")
		}
	})
}
