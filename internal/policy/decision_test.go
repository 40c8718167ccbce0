package policy

import (
	"strings"
	"testing"

	"verdict/internal/decision"
)

func TestDecisionRecordHasWhatRunReads(t *testing.T) {
	counts := NewCounts(Default())
	apply := func(id string, result decision.CheckResult, task Task) *Decision {
		_, d := counts.Apply(&Check{ID: id, Result: result, At: now}, &task, now)
		return d
	}
	apply("a", decision.CheckFail, Task{ProfileID: profile, TaskID: task1})
	apply("b", decision.CheckFail, Task{ProfileID: profile, TaskID: task1})
	for want, d := range map[string]*Decision{
		`"task_id":"` + task1 + `","state":"COMPLETED_FAIL","decided_at":"2026-11-01T06:00:00.000Z","source":"verdict-decide","reason":"failed by 3 checks: a, b, c"}`: apply("c", decision.CheckFail, Task{ProfileID: profile, TaskID: task1, Type: "T"}),
		`"task":{"alias":"docs"},"state":"COMPLETED_PASS","decided_at":"2026-11-01T06:00:00.000Z","source":"verdict-decide","reason":"passed by check d"}`:             apply("d", decision.CheckPass, Task{ProfileID: profile, Alias: "docs", Type: "T"}),
		`"task":{"type":"T"},"state":"COMPLETED_PASS","decided_at":"2026-11-01T06:00:00.000Z","source":"verdict-decide","reason":"passed by check e"}`:                 apply("e", decision.CheckPass, Task{ProfileID: profile, Type: "T"}),
	} {
		rec, err := d.Encode("decisions")
		want = `{"id":"` + d.ID + `","profile_id":"` + profile + `",` + want
		if err != nil || string(rec.Value) != want || string(rec.Key) != profile || rec.Topic != "decisions" {
			t.Errorf("key %s: %s, %v\nwant %s", rec.Key, rec.Value, err, want)
		}
	}
}

func TestDecisionIDDependsOnTaskStateAndChecksAlone(t *testing.T) {
	decide := func(policy, results string, task Task) string {
		counts := NewCounts(mustParse(t, policy))
		var d *Decision
		for word := range strings.FieldsSeq(results) {
			id, result, _ := strings.Cut(word, ":")
			_, d = counts.Apply(&Check{ID: id, Result: decision.CheckResult(result), At: now}, &task, now)
		}
		return d.ID
	}
	one := Task{ProfileID: profile, TaskID: task1}
	const p = "policies: [{pass: {on: [PASS]}, fail: {on: [FAIL], times: 2}}]"
	id := decide(p, "a:FAIL b:FAIL", one)
	if id != "policy-b34fbba54977f75f493edb7b81929ec8" { // pinned: a new release must not decide again under another ID
		t.Errorf("id %s", id)
	}
	if other := decide("policies: [{match: {type: T}, fail: {on: [FAIL], times: 2, consecutive: true}}]", "w:WARN a:FAIL b:FAIL", Task{ProfileID: profile, TaskID: task1, Type: "T"}); other != id {
		t.Errorf("another policy gives the same checks the ID %s, not %s", other, id)
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
