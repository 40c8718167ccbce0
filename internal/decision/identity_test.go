package decision_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"verdict/internal/decision"
)

func identified() decision.Decision {
	return decision.Decision{
		ID: "d-1", OwnID: true, Task: decision.NewTask(profileID, taskID), State: decision.CompletedPass,
		DecidedAt: "2026-11-01T06:00:29Z", Source: "kyc", Reason: "documents match", BatchID: "autumn",
	}
}

// TestIdentityStaysAsItIs has keys that another program computed. Consumers keep
// keys, so they must not change with a release.
func TestIdentityStaysAsItIs(t *testing.T) {
	for want, change := range map[string]func(d *decision.Decision){
		"5108eaa7899f89c3320ea0f83ac67b09": func(*decision.Decision) {},
		"05334284c6bfaaf3ad4d863fa0c5f682": func(d *decision.Decision) { d.Task.TaskID, d.Key.Alias = "", "identity" },
		"f0807e4dc5f5d7ee30d5238d90f20f5b": func(d *decision.Decision) { d.Task.TaskID, d.Key.Type = "", "identity" },
		"52c09271dbe2bbb2587a59dc58b5c043": func(d *decision.Decision) { d.IDSource = "/kyc/decider" },
		"2cdcbae64ecd31256a5d1eab65f7b94e": func(d *decision.Decision) { d.ID, d.OwnID = "task-decisions/3/42", false },
	} {
		d := identified()
		change(&d)
		if got := d.Identity().String(); got != want {
			t.Errorf("the decision_key of %+v is %s, want %s", d, got, want)
		}
	}
}

func TestIdentityIsTheIDTheTaskAndTheState(t *testing.T) {
	same := map[string]func(d *decision.Decision){
		"nothing": func(*decision.Decision) {},
		"another case": func(d *decision.Decision) {
			d.Task = decision.NewTask(strings.ToUpper(profileID), strings.ToUpper(taskID))
		},
		"another time": func(d *decision.Decision) { d.DecidedAt = "" },
		"another text": func(d *decision.Decision) { d.Source, d.Reason, d.BatchID = "", "x", "y" },
	}
	others := map[string]func(d *decision.Decision){
		"another ID":       func(d *decision.Decision) { d.ID = "d-2" },
		"another case":     func(d *decision.Decision) { d.ID = "D-1" },
		"no ID":            func(d *decision.Decision) { d.OwnID = false },
		"another profile":  func(d *decision.Decision) { d.Task.ProfileID = taskID },
		"another task":     func(d *decision.Decision) { d.Task.TaskID = profileID },
		"another state":    func(d *decision.Decision) { d.State = decision.CompletedFail },
		"an event's ID":    func(d *decision.Decision) { d.IDSource = "/a" },
		"of another event": func(d *decision.Decision) { d.IDSource = "/b" },
		"by alias":         func(d *decision.Decision) { d.Task.TaskID, d.Key.Alias = "", "a" },
		"by another alias": func(d *decision.Decision) { d.Task.TaskID, d.Key.Alias = "", "A" },
		"by type":          func(d *decision.Decision) { d.Task.TaskID, d.Key.Type = "", "a" },
		"an ID as alias":   func(d *decision.Decision) { d.Task.TaskID, d.Key.Alias = "", taskID },
	}
	first := identified()
	for name, change := range same {
		d := identified()
		change(&d)
		if d.Identity() != first.Identity() {
			t.Errorf("%s changed makes another decision", name)
		}
	}
	seen := map[decision.Identity]string{first.Identity(): "the first"}
	for name, change := range others {
		d := identified()
		change(&d)
		if twin, ok := seen[d.Identity()]; ok {
			t.Errorf("%s has the identity of %s", name, twin)
		}
		seen[d.Identity()] = name
	}
}

// TestIdentityKeepsPartsApart moves text from one part to the next.
func TestIdentityKeepsPartsApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[0-9:a]{0,6}`)
		draw := func(name string) decision.Decision {
			d := decision.Decision{OwnID: true, IDSource: text.Draw(t, name+" source"), ID: text.Draw(t, name+" ID")}
			d.Task.ProfileID, d.Key.Alias = text.Draw(t, name+" profile"), "a"+text.Draw(t, name+" alias")
			return d
		}
		a, b := draw("a"), draw("b")
		if (a == b) != (a.Identity() == b.Identity()) {
			t.Errorf("%+v and %+v", a, b)
		}
	})
}

func TestAnUnreadableRecordHasNoKey(t *testing.T) {
	if key := (decision.Identity{}).String(); key != "" {
		t.Errorf("it is %q", key)
	}
	d := decision.DeadLetter{Reason: decision.InvalidEvent}
	rec := d.Encode("dlq", &decision.Record{Topic: "t"})
	if text := fmt.Sprint(lines(rec.Headers)); strings.Contains(text, decision.HeaderDecisionKey) {
		t.Errorf("headers %s", text)
	}
}

func TestParseDeadLetterReadsTheKey(t *testing.T) {
	d, first := letter(), identified()
	d.DecisionKey = first.Identity().String()
	rec := d.Encode("dlq", original())
	if got, err := decision.ParseDeadLetter(&rec); err != nil || got.DecisionKey != d.DecisionKey {
		t.Errorf("got %+v, %v", got, err)
	}
}

func BenchmarkIdentity(b *testing.B) {
	d := identified()
	b.ReportAllocs()
	for b.Loop() {
		d.Identity()
	}
}
