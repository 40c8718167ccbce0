package policy

import (
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"verdict/internal/decision"
)

var now = time.Date(2026, 11, 1, 6, 0, 0, 0, time.UTC)

// mustParse is the policies of a file without faults.
func mustParse(t testing.TB, text string) Set {
	t.Helper()
	set, faults := Parse("p.yaml", []byte(text))
	if faults != nil {
		t.Fatal(faults)
	}
	return set
}

// play counts results of one task, written as check:RESULT=effect, and writes down
// in the same way what they did. A decision is written as its state and checks.
func play(l *Ledger, script string) string {
	var all []string
	for word := range strings.FieldsSeq(script) {
		word, _, _ = strings.Cut(word, "=")
		id, result, _ := strings.Cut(word, ":")
		c := Check{ID: id, Result: decision.CheckResult(result), At: now}
		o := l.Apply(&c, &Task{ProfileID: profile, TaskID: task1}, now)
		did := string(o.Effect)
		if o.Decision != nil {
			did = string(o.Decision.State) + "(" + strings.Join(o.Decision.Checks, ",") + ")"
		}
		all = append(all, word+"="+did)
	}
	return strings.Join(all, " ")
}

func TestWhatResultsDoToATask(t *testing.T) {
	const consecutive = "policies: [{pass: {on: [PASS]}, fail: {on: [FAIL], times: 2, consecutive: true}, ignore: [PARTIAL]}]"
	const reopen = "policies: [{pass: {on: [PASS]}, fail: {on: [FAIL], times: 2}, reopen: true}]"
	for _, c := range []struct{ name, policy, want string }{
		{"a pass passes", "", "a:PASS=COMPLETED_PASS(a)"},
		{"the third fail fails", "", "a:FAIL=counted b:FAIL=counted c:FAIL=COMPLETED_FAIL(a,b,c)"},
		{"fails count in all", "", "a:FAIL=counted w:WARN=ignored b:FAIL=counted e:ERROR=ignored p:PARTIAL=ignored c:FAIL=COMPLETED_FAIL(a,b,c)"},
		{"a pass after fails passes by itself", "", "a:FAIL=counted b:FAIL=counted c:PASS=COMPLETED_PASS(c)"},
		{"an error never counts", "", "a:ERROR=ignored b:ERROR=ignored c:ERROR=ignored d:ERROR=ignored"},
		{"a check counts once", "", "a:FAIL=counted a:FAIL=duplicate b:FAIL=counted a:FAIL=duplicate b:FAIL=duplicate c:FAIL=COMPLETED_FAIL(a,b,c) c:FAIL=duplicate"},
		{"a check counts as what it said first", "", "a:FAIL=counted a:PASS=duplicate"},
		{"an error that was run again counts", "", "a:ERROR=ignored a:FAIL=counted"},
		{"what is decided stays", "", "a:PASS=COMPLETED_PASS(a) b:FAIL=already_decided c:FAIL=already_decided d:FAIL=already_decided e:PASS=already_decided w:WARN=already_decided"},
		{"fails in a row", consecutive, "a:FAIL=counted w:WARN=reset b:FAIL=counted c:FAIL=COMPLETED_FAIL(b,c)"},
		{"what is ignored does not end a row", consecutive, "a:FAIL=counted p:PARTIAL=ignored c:FAIL=COMPLETED_FAIL(a,c)"},
		{"what ended a row does so once", consecutive, "w:WARN=ignored a:FAIL=counted w:WARN=duplicate b:FAIL=COMPLETED_FAIL(a,b)"},
		{"reopened, it is counted anew", reopen, "a:FAIL=counted b:FAIL=COMPLETED_FAIL(a,b) a:FAIL=duplicate c:FAIL=counted d:PASS=COMPLETED_PASS(d) e:FAIL=counted f:FAIL=COMPLETED_FAIL(e,f) g:PASS=COMPLETED_PASS(g) g:PASS=duplicate"},
		{"no policy for it", "policies: [{match: {type: T}, pass: {on: [PASS]}}]", "a:PASS=unmatched"},
		{"fail alone", "policies: [{fail: {on: [FAIL, WARN]}}]", "a:PASS=ignored b:WARN=COMPLETED_FAIL(b)"},
	} {
		set := Default()
		if c.policy != "" {
			set = mustParse(t, c.policy)
		}
		if got := play(NewLedger(set), c.want); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestADecisionAsItIsPublished(t *testing.T) {
	l := NewLedger(Default())
	apply := func(id string, result decision.CheckResult, task Task) *Decision {
		return l.Apply(&Check{ID: id, Result: result, At: now}, &task, now).Decision
	}
	apply("a", decision.CheckFail, Task{ProfileID: profile, TaskID: task1})
	apply("b", decision.CheckFail, Task{ProfileID: profile, TaskID: task1})
	for want, d := range map[string]*Decision{
		`"task_id":"` + task1 + `","state":"COMPLETED_FAIL","decided_at":"2026-11-01T06:00:00.000Z","source":"verdict-decide","reason":"failed by 3 checks: a, b, c"}`: apply("c", decision.CheckFail, Task{ProfileID: profile, TaskID: task1, Type: "T"}),
		`"task":{"alias":"docs"},"state":"COMPLETED_PASS","decided_at":"2026-11-01T06:00:00.000Z","source":"verdict-decide","reason":"passed by check d"}`:             apply("d", decision.CheckPass, Task{ProfileID: profile, Alias: "docs", Type: "T"}),
		`"task":{"type":"T"},"state":"COMPLETED_PASS","decided_at":"2026-11-01T06:00:00.000Z","source":"verdict-decide","reason":"passed by check e"}`:                 apply("e", decision.CheckPass, Task{ProfileID: profile, Type: "T"}),
	} {
		rec, err := d.Record("decisions")
		want = `{"id":"` + d.ID + `","profile_id":"` + profile + `",` + want
		if err != nil || string(rec.Value) != want || string(rec.Key) != profile || rec.Topic != "decisions" {
			t.Errorf("key %s: %s, %v\nwant %s", rec.Key, rec.Value, err, want)
		}
	}
}

func TestADecisionsIDIsMadeOfTaskStateAndChecksAlone(t *testing.T) {
	decide := func(policy, results string, task Task) string {
		l := NewLedger(mustParse(t, policy))
		var d *Decision
		for word := range strings.FieldsSeq(results) {
			id, result, _ := strings.Cut(word, ":")
			d = l.Apply(&Check{ID: id, Result: decision.CheckResult(result), At: now}, &task, now).Decision
		}
		return d.ID
	}
	one := Task{ProfileID: profile, TaskID: task1}
	const p = "policies: [{pass: {on: [PASS]}, fail: {on: [FAIL], times: 2}}]"
	id := decide(p, "a:FAIL b:FAIL", one)
	if id != "policy-b34fbba54977f75f493edb7b81929ec8" { // pinned: a new release must not decide again
		t.Errorf("id %s", id)
	}
	if other := decide("policies: [{match: {type: T}, fail: {on: [FAIL], times: 2, consecutive: true}}]", "w:WARN a:FAIL b:FAIL", Task{ProfileID: profile, TaskID: task1, Type: "T"}); other != id {
		t.Errorf("another policy decides from the same checks under %s, not %s", other, id)
	}
	for what, other := range map[string]string{
		"other checks":    decide(p, "a:FAIL c:FAIL", one),
		"another order":   decide(p, "b:FAIL a:FAIL", one),
		"another task":    decide(p, "a:FAIL b:FAIL", Task{ProfileID: profile, TaskID: task2}),
		"by another name": decide(p, "a:FAIL b:FAIL", Task{ProfileID: profile, Alias: task1}),
	} {
		if other == id {
			t.Errorf("%s: the same ID", what)
		}
	}
}

func TestCountsThatAreTooOldAreForgotten(t *testing.T) {
	l := NewLedger(mustParse(t, "forget_after: 2h\npolicies: [{fail: {on: [FAIL], times: 2}}]"))
	apply := func(id string, at time.Time) Outcome {
		return l.Apply(&Check{ID: id, Result: decision.CheckFail}, &Task{ProfileID: profile, TaskID: task1}, at)
	}
	apply("a", now)
	if _, err := l.Changes(); err != nil {
		t.Fatal(err)
	}
	l.Expire(now.Add(2 * time.Hour))
	if l.Tasks() != 1 {
		t.Error("forgotten too early")
	}
	l.Expire(now.Add(2*time.Hour + 1))
	changes, err := l.Changes()
	want := []Change{{Key: []byte(profile + "/id/" + task1)}}
	if err != nil || l.Tasks() != 0 || !reflect.DeepEqual(changes, want) {
		t.Errorf("%d tasks, %q, %v; want a tombstone", l.Tasks(), changes, err)
	}
	if o := apply("b", now.Add(3*time.Hour)); o.Effect != decision.EffectCounted {
		t.Errorf("after it was forgotten: %v", o)
	}
}

func TestAStateThatWasWrittenLateDoesNotWin(t *testing.T) {
	l := NewLedger(Default())
	var log []Change
	for _, id := range []string{"a", "b"} {
		play(l, id+":FAIL")
		changes, err := l.Changes()
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, changes...)
	}
	log = append(log, log[0]) // of an instance that had lost the partition

	again := NewLedger(Default())
	for _, c := range log {
		again.Restore(c.Key, c.Value)
	}
	changes, err := again.Changes()
	if err != nil || !reflect.DeepEqual(changes, log[1:2]) {
		t.Errorf("written again: %q, %v; want the newer state", changes, err)
	}
	const want = "a:FAIL=duplicate b:FAIL=duplicate c:FAIL=COMPLETED_FAIL(a,b,c)"
	if got := play(again, want); got != want {
		t.Error(got)
	}
}

func TestOnlyWhatAStateCanBeIsRestored(t *testing.T) {
	for _, value := range []string{
		``, `{}`, `[]`, `x`, `{"v":2,"seq":1,"checks":["a"],"changed_at":"2026-11-01T06:00:00.000Z"}`,
		`{"v":1,"seq":0,"checks":["a"]}`, `{"v":1,"seq":1,"checks":[]}`, `{"v":1,"seq":1,"checks":["a"],"run":2}`,
		`{"v":1,"seq":1,"checks":["a"],"run":-1}`, `{"v":1,"seq":1,"checks":[` + strings.Repeat(`"a",`, 63) + `"a"],"run":64}`, `{"v":1,"seq":1,"checks":["a"],"decided":"MAYBE"}`,
		`{"v":1,"seq":1,"checks":["` + strings.Repeat("a", decision.MaxRecordSize) + `"]}`,
	} {
		l := NewLedger(Default())
		l.Restore([]byte("key"), []byte(value))
		if l.Restored() == nil || l.Tasks() != 0 {
			t.Errorf("%.80s was taken", value)
		}
		if l.Restore([]byte("key"), nil); l.Restored() != nil {
			t.Errorf("a tombstone does not forget it: %v", l.Restored())
		}
	}
}

func TestWhatATaskRemembersIsBoundedAndHoldsWhatCounts(t *testing.T) {
	l := NewLedger(mustParse(t, "policies: [{fail: {on: [FAIL], times: 32, consecutive: true}}]"))
	for i := range 1000 {
		play(l, fmt.Sprintf("w%d:WARN", i))
	}
	for i := range 31 {
		play(l, fmt.Sprintf("f%d:FAIL", i))
	}
	for _, s := range l.tasks {
		if len(s.checks) != maxChecks || cap(s.checks) > 2*maxChecks {
			t.Errorf("%d checks in room for %d", len(s.checks), cap(s.checks))
		}
	}
	const want = "f0:FAIL=duplicate f30:FAIL=duplicate w999:WARN=duplicate f31:FAIL=COMPLETED_FAIL(f0,f1,"
	if got := play(l, want); !strings.HasPrefix(got, want) {
		t.Error(got)
	}
}

func TestTheLargestStateCanBeRestored(t *testing.T) {
	l := NewLedger(mustParse(t, "policies: [{pass: {on: [PASS]}, reopen: true}]"))
	task := Task{ProfileID: profile, Type: strings.Repeat("𝄞", maxName)}
	for n := range maxChecks + 1 {
		// As JSON writes them, these are the longest.
		id := fmt.Sprintf("%s%02d", strings.Repeat("<", decision.MaxIDLength-2), n)
		if o := l.Apply(&Check{ID: id, Result: decision.CheckPass}, &task, now); o.Effect != decision.EffectDecided {
			t.Fatalf("%d: %v", n, o)
		}
	}
	changes, err := l.Changes()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("a key of %d bytes and a value of %d", len(changes[0].Key), len(changes[0].Value))
	again := NewLedger(Default())
	again.Restore(changes[0].Key, changes[0].Value)
	if again.Restored() != nil || again.Tasks() != 1 {
		t.Errorf("%d tasks, %v", again.Tasks(), again.Restored())
	}
}

// FuzzRestore: whatever is in the state topic, it is taken or refused, and what is
// taken can be counted on.
func FuzzRestore(f *testing.F) {
	f.Add([]byte(`{"v":1,"seq":3,"checks":["a","b"],"run":2,"changed_at":"2026-11-01T06:00:00.000Z"}`))
	f.Add([]byte(`{"v":1,"seq":3,"checks":["a"],"decided":"COMPLETED_PASS","decision_id":"policy-1","changed_at":"2026-11-01T06:00:00.000Z"}`))
	set := mustParse(f, "policies: [{fail: {on: [FAIL], times: 2, consecutive: true}, reopen: true}]")
	f.Fuzz(func(t *testing.T, value []byte) {
		l := NewLedger(set)
		l.Restore([]byte(profile+"/id/"+task1), value)
		if (l.Restored() == nil) != (l.Tasks() == 1) && value != nil {
			t.Fatalf("%d tasks, %v", l.Tasks(), l.Restored())
		}
		for n := range 2 * maxChecks {
			play(l, fmt.Sprintf("new-%d:FAIL", n))
		}
		for _, s := range l.tasks {
			if len(s.checks) > maxChecks || s.run >= 2 {
				t.Fatalf("%d checks, %d in a row", len(s.checks), s.run)
			}
		}
	})
}

// plainly reads the results of one task one after the other, each check once: the
// words of the documentation, without anything that a running service needs.
func plainly(p *policy, results []Check) []string {
	var decided, fails []string
	seen := make(map[string]bool)
	for _, c := range results {
		if seen[c.ID] || len(decided) > 0 && !p.reopen {
			continue
		}
		seen[c.ID] = true
		switch {
		case slices.Contains(p.pass, c.Result):
			decided, fails = append(decided, "COMPLETED_PASS "+c.ID), nil
		case slices.Contains(p.fail, c.Result):
			if fails = append(fails, c.ID); len(fails) == p.times {
				decided, fails = append(decided, "COMPLETED_FAIL "+strings.Join(fails, ",")), nil
			}
		case !slices.Contains(p.ignore, c.Result) && p.consecutive:
			fails = nil
		}
	}
	return decided
}

// drawPolicy draws a policy without faults.
func drawPolicy(t *rapid.T) policy {
	p := policy{
		times:       rapid.IntRange(1, 4).Draw(t, "times"),
		consecutive: rapid.Bool().Draw(t, "consecutive"),
		reopen:      rapid.Bool().Draw(t, "reopen"),
	}
	for _, r := range decision.CheckResults {
		lists := []*[]decision.CheckResult{&p.ignore, nil, &p.pass, &p.fail}
		if r == decision.CheckError {
			lists = lists[:2]
		}
		if r == decision.CheckFail {
			lists = lists[3:]
		}
		if list := rapid.SampledFrom(lists).Draw(t, "list of "+string(r)); list != nil {
			*list = append(*list, r)
		}
	}
	return p
}

// TestAnyInterleavingAndRedeliveryDecidesAsAPlainReading: results of several
// tasks are mixed, delivered again later, and read in batches by owners that end
// at any point; one that has lost the partition writes late, and compaction runs
// when it likes. What was decided is what a plain reading of each task's results
// decides, each decision under one ID.
func TestAnyInterleavingAndRedeliveryDecidesAsAPlainReading(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := Set{policies: []policy{drawPolicy(t)}}
		type delivery struct {
			task  Task
			check Check
		}
		var input []delivery
		wanted := make(map[string][]string)
		tasks := make([]Task, rapid.IntRange(1, 3).Draw(t, "tasks"))
		for i := range tasks {
			tasks[i] = Task{ProfileID: profile, TaskID: fmt.Sprintf("task-%d", i)}
		}
		plain := make(map[string][]Check)
		for n := range rapid.IntRange(0, 40).Draw(t, "results") {
			if len(input) > 0 && rapid.IntRange(0, 3).Draw(t, "again") == 0 {
				input = append(input, rapid.SampledFrom(input).Draw(t, "redelivered"))
				continue
			}
			task := rapid.SampledFrom(tasks).Draw(t, "task")
			c := Check{ID: fmt.Sprintf("c%d", n), Result: rapid.SampledFrom(decision.CheckResults[:]).Draw(t, "result"), At: now}
			input = append(input, delivery{task, c})
			plain[task.TaskID] = append(plain[task.TaskID], c)
		}
		for task, results := range plain {
			wanted[task] = plainly(&set.policies[0], results)
		}

		var log []Change // the state topic
		var late []Change
		decided := make(map[string][]string) // by task, without what was published before
		ids := make(map[string]string)       // decision by ID
		committed := 0
		for committed < len(input) {
			ledger := NewLedger(set) // a new owner
			for _, c := range log {
				ledger.Restore(c.Key, c.Value)
			}
			if changes, err := ledger.Changes(); err != nil {
				t.Fatal(err)
			} else {
				log = append(log, changes...)
			}
			at := committed
			for at < len(input) {
				end := min(len(input), at+rapid.IntRange(1, 5).Draw(t, "batch"))
				crash := rapid.IntRange(0, 12).Draw(t, "crash")
				var decisions []*Decision
				for _, d := range input[at:end] {
					if o := ledger.Apply(&d.check, &d.task, now); o.Decision != nil {
						decisions = append(decisions, o.Decision)
					}
				}
				if crash == 1 {
					break
				}
				for _, d := range decisions {
					text := string(d.State) + " " + strings.Join(d.Checks, ",")
					if before, twice := ids[d.ID]; !twice {
						ids[d.ID] = d.Task.TaskID + " " + text
						decided[d.Task.TaskID] = append(decided[d.Task.TaskID], text)
					} else if before != d.Task.TaskID+" "+text {
						t.Fatalf("%s is %s and %s", d.ID, before, text)
					}
				}
				if crash == 2 {
					break
				}
				changes, err := ledger.Changes()
				if err != nil {
					t.Fatal(err)
				}
				if crash == 3 {
					late = append(late, changes...) // on its way while another takes over
					break
				}
				log = append(log, changes...)
				if len(late) > 0 && rapid.Bool().Draw(t, "late") {
					log, late = append(log, late[0]), late[1:]
				} else if rapid.IntRange(0, 5).Draw(t, "compacts") == 0 && len(late) == 0 {
					log = compacted(set, log)
				}
				if crash == 4 {
					break
				}
				at = end
				if crash != 5 { // else the commit is for later
					committed = at
				}
				if crash == 6 {
					break
				}
			}
			if at == len(input) {
				committed = at
			}
		}
		for task := range plain {
			if !slices.Equal(decided[task], wanted[task]) {
				t.Fatalf("%s: decided %v, want %v", task, decided[task], wanted[task])
			}
		}
		// A replay of the whole decides nothing new.
		ledger := NewLedger(set)
		for _, c := range log {
			ledger.Restore(c.Key, c.Value)
		}
		for _, d := range input {
			if o := ledger.Apply(&d.check, &d.task, now); o.Decision != nil {
				t.Fatalf("a replay decides %+v", o.Decision)
			}
		}
	})
}

// compacted is what compaction leaves of a log after the owner has mended it, as
// it does long before compaction may run.
func compacted(set Set, log []Change) []Change {
	mended := NewLedger(set)
	for _, c := range log {
		mended.Restore(c.Key, c.Value)
	}
	changes, err := mended.Changes()
	if err != nil {
		return log
	}
	log = append(slices.Clone(log), changes...)
	last := make(map[string]int)
	for i, c := range log {
		last[string(c.Key)] = i
	}
	var left []Change
	for i, c := range log {
		if last[string(c.Key)] == i {
			left = append(left, c)
		}
	}
	return left
}

// BenchmarkLedger tells what a task costs in memory (B/op is for one task with two
// fails behind it) and in time.
func BenchmarkLedger(b *testing.B) {
	b.ReportAllocs()
	l := NewLedger(Default())
	n := 0
	for b.Loop() {
		n++
		task := Task{ProfileID: fmt.Sprintf("%08x-8142-c8ea-91d9-3080f9b439fc", n), TaskID: fmt.Sprintf("%08x-3c88-ad8a-bd70-73d26c7e40ec", n)}
		for check := range 2 {
			c := Check{ID: fmt.Sprintf("%08x-3de3-1785-203b-68044cd3ecb%d", n, check), Result: decision.CheckFail}
			l.Apply(&c, &task, now)
		}
		if n%1000 == 0 {
			if _, err := l.Changes(); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// TestWhatATaskCosts holds the documentation to what it says of memory.
func TestWhatATaskCosts(t *testing.T) {
	const tasks = 10_000
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for _, c := range []struct {
		name   string
		checks int
		result decision.CheckResult
		most   uint64
	}{
		{"passed by one check", 1, decision.CheckPass, 500},
		{"with two fails", 2, decision.CheckFail, 600},
		{"failed by three", 3, decision.CheckFail, 800},
	} {
		before := heap()
		l := NewLedger(Default())
		for n := range tasks {
			task := Task{ProfileID: fmt.Sprintf("%08x-8142-c8ea-91d9-3080f9b439fc", n), TaskID: fmt.Sprintf("%08x-3c88-ad8a-bd70-73d26c7e40ec", n)}
			for check := range c.checks {
				l.Apply(&Check{ID: fmt.Sprintf("%08x-3de3-1785-203b-68044cd3ecb%d", n, check), Result: c.result}, &task, now)
			}
		}
		size := recordSize(t, l)
		each := (heap() - before) / tasks
		t.Logf("a task %s: %d bytes in memory, %d as a record", c.name, each, size)
		if each > c.most {
			t.Errorf("a task %s costs %d bytes of memory; the documentation says at most %d", c.name, each, c.most)
		}
		runtime.KeepAlive(l)
	}
}

// recordSize is the size of one state as a record; all are as large.
func recordSize(t *testing.T, l *Ledger) int {
	changes, err := l.Changes()
	if err != nil || len(changes) == 0 {
		t.Fatal(err)
	}
	return len(changes[0].Key) + len(changes[0].Value)
}
