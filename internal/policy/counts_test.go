package policy

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"verdict/internal/decision"
)

var now = time.Date(2026, 11, 1, 6, 0, 0, 0, time.UTC)

// mustParse returns the policies of a file without faults.
func mustParse(t testing.TB, text string) Set {
	t.Helper()
	set, faults := Parse("p.yaml", []byte(text))
	if faults != nil {
		t.Fatal(faults)
	}
	return set
}

// play counts results of one task, written as check:RESULT=effect, and returns them
// with their real effects. A decision is written as its state and checks.
func play(counts *Counts, script string) string {
	var all []string
	for word := range strings.FieldsSeq(script) {
		word, _, _ = strings.Cut(word, "=")
		id, result, _ := strings.Cut(word, ":")
		c := Check{ID: id, Result: decision.CheckResult(result), At: now}
		effect, d := counts.Apply(&c, &Task{ProfileID: profile, TaskID: task1}, now)
		did := string(effect)
		if d != nil {
			did = string(d.State) + "(" + strings.Join(d.Checks, ",") + ")"
		}
		all = append(all, word+"="+did)
	}
	return strings.Join(all, " ")
}

func TestApplyCountsAndDecides(t *testing.T) {
	const consecutive = "policies: [{pass: {on: [PASS]}, fail: {on: [FAIL], times: 2, consecutive: true}, ignore: [PARTIAL]}]"
	const reopen = "policies: [{pass: {on: [PASS]}, fail: {on: [FAIL], times: 2}, reopen: true}]"
	for _, c := range []struct{ name, policy, want string }{
		{"a pass passes", "", "a:PASS=COMPLETED_PASS(a)"},
		{"the third fail fails", "", "a:FAIL=counted b:FAIL=counted c:FAIL=COMPLETED_FAIL(a,b,c)"},
		{"fails need not be in a row", "", "a:FAIL=counted w:WARN=ignored b:FAIL=counted e:ERROR=ignored p:PARTIAL=ignored c:FAIL=COMPLETED_FAIL(a,b,c)"},
		{"a pass after fails is enough", "", "a:FAIL=counted b:FAIL=counted c:PASS=COMPLETED_PASS(c)"},
		{"an error never counts", "", "a:ERROR=ignored b:ERROR=ignored c:ERROR=ignored d:ERROR=ignored"},
		{"a check counts once", "", "a:FAIL=counted a:FAIL=duplicate b:FAIL=counted a:FAIL=duplicate b:FAIL=duplicate c:FAIL=COMPLETED_FAIL(a,b,c) c:FAIL=duplicate"},
		{"the first result of a check counts", "", "a:FAIL=counted a:PASS=duplicate"},
		{"a check that is run again after an error counts", "", "a:ERROR=ignored a:FAIL=counted"},
		{"a decision stays", "", "a:PASS=COMPLETED_PASS(a) b:FAIL=already_decided c:FAIL=already_decided d:FAIL=already_decided e:PASS=already_decided w:WARN=already_decided"},
		{"fails in a row", consecutive, "a:FAIL=counted w:WARN=reset b:FAIL=counted c:FAIL=COMPLETED_FAIL(b,c)"},
		{"an ignored result does not end a row", consecutive, "a:FAIL=counted p:PARTIAL=ignored c:FAIL=COMPLETED_FAIL(a,c)"},
		{"a result ends a row only once", consecutive, "w:WARN=ignored a:FAIL=counted w:WARN=duplicate b:FAIL=COMPLETED_FAIL(a,b)"},
		{"after a decision, counting starts again with reopen", reopen, "a:FAIL=counted b:FAIL=COMPLETED_FAIL(a,b) a:FAIL=duplicate c:FAIL=counted d:PASS=COMPLETED_PASS(d) e:FAIL=counted f:FAIL=COMPLETED_FAIL(e,f) g:PASS=COMPLETED_PASS(g) g:PASS=duplicate"},
		{"no policy matches", "policies: [{match: {type: T}, pass: {on: [PASS]}}]", "a:PASS=unmatched"},
		{"only fail", "policies: [{fail: {on: [FAIL, WARN]}}]", "a:PASS=ignored b:WARN=COMPLETED_FAIL(b)"},
	} {
		set := Default()
		if c.policy != "" {
			set = mustParse(t, c.policy)
		}
		if got := play(NewCounts(set), c.want); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestExpireForgetsOldCounts(t *testing.T) {
	counts := NewCounts(mustParse(t, "forget_after: 2h\npolicies: [{fail: {on: [FAIL], times: 2}}]"))
	apply := func(id string, at time.Time) decision.CheckEffect {
		effect, _ := counts.Apply(&Check{ID: id, Result: decision.CheckFail}, &Task{ProfileID: profile, TaskID: task1}, at)
		return effect
	}
	apply("a", now)
	if _, err := counts.Changes(); err != nil {
		t.Fatal(err)
	}
	counts.Expire(now.Add(2 * time.Hour))
	if counts.Tasks() != 1 {
		t.Error("forgotten too early")
	}
	counts.Expire(now.Add(2*time.Hour + 1))
	changes, err := counts.Changes()
	want := []Change{{Key: []byte(profile + "/id/" + task1)}}
	if err != nil || counts.Tasks() != 0 || !reflect.DeepEqual(changes, want) {
		t.Errorf("%d tasks, %q, %v; want a tombstone", counts.Tasks(), changes, err)
	}
	if effect := apply("b", now.Add(3*time.Hour)); effect != decision.EffectCounted {
		t.Errorf("after it was forgotten: %v", effect)
	}
}

func TestStateRemembersABoundedNumberOfChecks(t *testing.T) {
	counts := NewCounts(mustParse(t, "policies: [{fail: {on: [FAIL], times: 32, consecutive: true}}]"))
	for i := range 1000 {
		play(counts, fmt.Sprintf("w%d:WARN", i))
	}
	for i := range 31 {
		play(counts, fmt.Sprintf("f%d:FAIL", i))
	}
	for _, s := range counts.tasks {
		if len(s.checks) != maxChecks || cap(s.checks) > 2*maxChecks {
			t.Errorf("%d checks in room for %d", len(s.checks), cap(s.checks))
		}
	}
	const want = "f0:FAIL=duplicate f30:FAIL=duplicate w999:WARN=duplicate f31:FAIL=COMPLETED_FAIL(f0,f1,"
	if got := play(counts, want); !strings.HasPrefix(got, want) {
		t.Error(got)
	}
}
