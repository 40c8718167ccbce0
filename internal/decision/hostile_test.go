package decision_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"verdict/internal/decision"
)

// TestHostileRecordsCostOnlyTheirDeadLetter checks that whatever a hostile sender
// writes is refused or harmless, in the record and in what is published about it.
func TestHostileRecordsCostOnlyTheirDeadLetter(t *testing.T) {
	with := func(field, raw string) string {
		members := map[string]string{"profile_id": `"` + profileID + `"`, "task_id": `"` + taskID + `"`, "state": `"COMPLETED_PASS"`}
		members[field] = raw
		var all []string
		for name, value := range members {
			all = append(all, `"`+name+`":`+value)
		}
		return "{" + strings.Join(all, ",") + "}"
	}
	quoted := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	digits := strings.Repeat("9", 30<<10)
	for name, tc := range map[string]struct {
		value    string
		accepted bool
	}{
		"path that goes up":            {with("task_id", `"../../../../whoami"`), false},
		"path that goes up, escaped":   {with("task_id", `"..%2f..%2f..%2fwhoami"`), false},
		"path of the right length":     {with("task_id", `"a2c4393a-e219-67a4-5ab4-/../whoami/x"`), false},
		"path with a query":            {with("profile_id", quoted(profileID+"?x=y")), false},
		"path with a fragment":         {with("profile_id", quoted(profileID+"#")), false},
		"digits of another script":     {with("task_id", quoted(strings.Replace(taskID, "2", "٢", 1))), false},
		"full-width hyphens":           {with("task_id", quoted(strings.ReplaceAll(taskID, "-", "－"))), false},
		"NUL after the ID":             {with("task_id", quoted(taskID+"\x00")), false},
		"line end after the ID":        {with("profile_id", quoted(profileID+"\n")), false},
		"header in the ID":             {with("id", quoted("a\r\nverdict-reason: completed")), false},
		"terminal escape in the ID":    {with("id", quoted("a\x1b[2J")), false},
		"text that runs backwards":     {with("id", quoted("a\u202eb")), false},
		"invisible ID":                 {with("id", quoted("\u200b\u200b")), false},
		"header in the reason":         {with("reason", quoted("a\r\nverdict-reason: completed\x00")), true},
		"markup in the reason":         {with("reason", quoted("</script><script>alert(1)</script>")), true},
		"deep in another field":        {with("x", strings.Repeat("[", 9990)+strings.Repeat("]", 9990)), true},
		"too deep":                     {with("x", strings.Repeat(`{"a":`, 10001)+"1"+strings.Repeat("}", 10001)), false},
		"deep in a field":              {with("reason", strings.Repeat("[", 9990)+strings.Repeat("]", 9990)), false},
		"huge number elsewhere":        {with("x", digits), true},
		"huge exponent elsewhere":      {with("x", "-1e"+digits), true},
		"huge number for an ID":        {with("id", digits), false},
		"huge number for a flag":       {with("is_complete", "1e"+digits), false},
		"huge number for a time":       {with("expires_at", "1e999999999"), false},
		"year out of range":            {with("expires_at", `"99999-01-01T00:00:00Z"`), false},
		"very long fraction":           {with("expires_at", `"2026-01-01T00:00:00.`+digits+`Z"`), true},
		"one field two thousand times": {"{" + strings.Repeat(`"\u0073tate":"COMPLETED_PASS",`, 2000) + pass + "}", false},
		"very long name":               {"{" + quoted(strings.Repeat("n", 60<<10)) + ":1," + pass + "}", true},
		"invalid UTF-8 in a name":      {"{\"\xc3\x28\":1," + pass + "}", false},
		"overlong UTF-8":               {"{\"reason\":\"\xc0\xaf\"," + pass + "}", false},
		"a surrogate in UTF-8":         {"{\"reason\":\"\xed\xa0\x80\"," + pass + "}", false},
		"half a surrogate, escaped":    {with("reason", `"\ud800"`), true},
		"UTF-16":                       {"{\x00}\x00", false},
		"NaN":                          {with("x", "NaN"), false},
		"a comment":                    {"{/**/" + pass + "}", false},
		"a comma at the end":           {"{" + pass + ",}", false},
	} {
		t.Run(name, func(t *testing.T) {
			rec := record(tc.value)
			rec.Key = []byte("k\r\n\x00\xff")
			rec.Headers = []decision.Header{{Key: "verdict-reason\r\n", Value: []byte("x\r\ny")}, {Key: "\xff", Value: nil}}
			d, err := decision.Decode(rec)
			if (err == nil) != tc.accepted {
				t.Fatalf("got %+v, %v; accepted should be %t", d.Task, err, tc.accepted)
			}
			if err == nil {
				if !decision.ValidID(d.Task.ProfileID) || !decision.ValidID(d.Task.TaskID) || strings.ContainsFunc(d.ID, unicode.IsControl) {
					t.Errorf("accepted although it can't be carried out: %+v", d)
				}
				result := decision.Result{DecisionID: d.ID, ProfileID: d.Task.ProfileID, TaskID: d.Task.TaskID, State: d.State, Outcome: decision.Completed, Reason: d.Reason}
				if out := result.Encode("t", nil); !json.Valid(out.Value) {
					t.Errorf("the result is not JSON: %s", out.Value)
				}
				return
			}
			letter := decision.DeadLetter{Reason: decision.InvalidEvent, Error: err.Error(), DecisionID: d.ID}
			out := letter.Encode("dlq", rec)
			added := 0
			for _, h := range out.Headers[len(rec.Headers):] {
				if added += len(h.Key) + len(h.Value); strings.ContainsFunc(string(h.Value), unicode.IsControl) {
					t.Errorf("header %s: %q", h.Key, h.Value)
				}
			}
			if added > 4<<10 {
				t.Errorf("%d bytes of headers", added)
			}
			if back, err := decision.ParseDeadLetter(&out); err != nil || back.Reason != decision.InvalidEvent {
				t.Errorf("read back as %+v, %v", back, err)
			}
		})
	}
}
