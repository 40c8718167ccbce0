package policy

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"verdict/internal/decision"
)

func TestRestoreIgnoresAStateThatWasWrittenLate(t *testing.T) {
	counts := NewCounts(Default())
	var log []Change
	for _, id := range []string{"a", "b"} {
		play(counts, id+":FAIL")
		changes, err := counts.Changes()
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, changes...)
	}
	log = append(log, log[0]) // by an instance that had lost the partition

	again := NewCounts(Default())
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

func TestRestoreRefusesImpossibleStates(t *testing.T) {
	for _, value := range []string{
		``, `{}`, `[]`, `x`, `{"v":2,"seq":1,"checks":["a"],"changed_at":"2026-11-01T06:00:00.000Z"}`,
		`{"v":1,"seq":0,"checks":["a"]}`, `{"v":1,"seq":1,"checks":[]}`, `{"v":1,"seq":1,"checks":["a"],"run":2}`,
		`{"v":1,"seq":1,"checks":["a"],"run":-1}`, `{"v":1,"seq":1,"checks":[` + strings.Repeat(`"a",`, 63) + `"a"],"run":64}`, `{"v":1,"seq":1,"checks":["a"],"decided":"MAYBE"}`,
		`{"v":1,"seq":1,"checks":["` + strings.Repeat("a", decision.MaxRecordSize) + `"]}`,
	} {
		counts := NewCounts(Default())
		counts.Restore([]byte("key"), []byte(value))
		if counts.Restored() == nil || counts.Tasks() != 0 {
			t.Errorf("%.80s was accepted", value)
		}
		if counts.Restore([]byte("key"), nil); counts.Restored() != nil {
			t.Errorf("after a tombstone: %v", counts.Restored())
		}
	}
}

func TestRestoreReadsTheLargestState(t *testing.T) {
	counts := NewCounts(mustParse(t, "policies: [{pass: {on: [PASS]}, reopen: true}]"))
	task := Task{ProfileID: profile, Type: strings.Repeat("𝄞", decision.MaxKeyLength)}
	for n := range maxChecks + 1 {
		// These are the longest IDs in JSON.
		id := fmt.Sprintf("%s%02d", strings.Repeat("<", decision.MaxIDLength-2), n)
		if effect, _ := counts.Apply(&Check{ID: id, Result: decision.CheckPass}, &task, now); effect != decision.EffectDecided {
			t.Fatalf("%d: %v", n, effect)
		}
	}
	changes, err := counts.Changes()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("a key of %d bytes and a value of %d", len(changes[0].Key), len(changes[0].Value))
	again := NewCounts(Default())
	again.Restore(changes[0].Key, changes[0].Value)
	if again.Restored() != nil || again.Tasks() != 1 {
		t.Errorf("%d tasks, %v", again.Tasks(), again.Restored())
	}
}

// FuzzRestore checks that any record of the state topic is accepted or refused, and
// that counting can go on from a state that was accepted.
func FuzzRestore(f *testing.F) {
	f.Add([]byte(`{"v":1,"seq":3,"checks":["a","b"],"run":2,"changed_at":"2026-11-01T06:00:00.000Z"}`))
	f.Add([]byte(`{"v":1,"seq":3,"checks":["a"],"decided":"COMPLETED_PASS","decision_id":"policy-1","changed_at":"2026-11-01T06:00:00.000Z"}`))
	set := mustParse(f, "policies: [{fail: {on: [FAIL], times: 2, consecutive: true}, reopen: true}]")
	f.Fuzz(func(t *testing.T, value []byte) {
		counts := NewCounts(set)
		counts.Restore([]byte(profile+"/id/"+task1), value)
		if (counts.Restored() == nil) != (counts.Tasks() == 1) && value != nil {
			t.Fatalf("%d tasks, %v", counts.Tasks(), counts.Restored())
		}
		for n := range 2 * maxChecks {
			play(counts, fmt.Sprintf("new-%d:FAIL", n))
		}
		for _, s := range counts.tasks {
			if len(s.checks) > maxChecks || s.run >= 2 {
				t.Fatalf("%d checks, %d in a row", len(s.checks), s.run)
			}
		}
	})
}
