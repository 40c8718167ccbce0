package decision_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"verdict/internal/decision"
)

// document returns a shipped JSON Schema.
func document(t testing.TB, name string) map[string]any {
	t.Helper()
	text, err := os.ReadFile("schema/" + name)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc.(map[string]any)
}

// compiled returns a schema that also checks formats.
func compiled(t testing.TB, doc map[string]any) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("test", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("test")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func valid(s *jsonschema.Schema, value []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

// candidates holds, for each field, values that are right, wrong and almost right.
var candidates = map[string][]string{
	"id":          {`"a"`, `"ü 1"`, `""`, `"a\nb"`, `"a\u00a0b"`, `"\ufffd"`, `"\u200b"`, `7`, `"` + strings.Repeat("ü", 128) + `"`, `"` + strings.Repeat("i", 129) + `"`},
	"profile_id":  {`"` + profileID + `"`, `"` + strings.ToUpper(profileID) + `"`, `"` + profileID + `"`, `"` + profileID + `0"`, `"` + strings.ReplaceAll(profileID, "-", "") + `"`, `"` + profileID + `\n"`, `5`},
	"task_id":     {`"` + taskID + `"`, `"` + taskID + `"`, `"g` + taskID[1:] + `"`, `{}`},
	"state":       {`"COMPLETED_PASS"`, `"COMPLETED_FAIL"`, `"INCOMPLETE"`, `"completed_pass"`, `""`, `true`},
	"is_complete": {`true`, `true`, `false`, `"true"`, `1`},
	"decided_at": {
		`"2026-11-01T06:00:29Z"`, `"2026-11-01T07:00:29.123456789+01:00"`, `"2026-02-29T00:00:00Z"`, `"2028-02-29T00:00:00Z"`, `"2026-11-01T06:00:29"`,
		`"2026-11-01 06:00:29Z"`, `"2026-11-01T06:00:60Z"`, `"2016-12-31T23:59:60Z"`, `"2026-11-01T24:00:00Z"`, `"2026-11-01t06:00:29z"`, `"2026-11-01T06:00:29+24:00"`, `"2026-11-01T6:00:29Z"`, `"2026-11-01T06:00:29,5Z"`, `1793512829`,
	},
	"reason": {`"why"`, `""`, `"a\u0000\n"`, `["why"]`, `"` + strings.Repeat("r", 1024) + `"`, `"` + strings.Repeat("r", 1025) + `"`},
	"task": {
		`{"alias":"a"}`, `{"type":"ü T"}`, `{"alias":"a","type":null}`, `{"alias":"` + strings.Repeat("a", 256) + `"}`, `{}`, `{"alias":null}`, `{"alias":"a","type":"T"}`,
		`{"alias":""}`, `{"alias":"a\n"}`, `{"alias":"` + strings.Repeat("a", 257) + `"}`, `{"type":7}`, `{"alias":"a","x":1}`, `{"alias":"a","type":""}`, `"a"`, `[]`,
	},
	"other": {`{}`, `[1]`},
}

// expressible reports whether a schema can express at least one of the faults.
func expressible(err error) bool {
	invalid, ok := errors.AsType[*decision.Invalid](err)
	return ok && slices.ContainsFunc(invalid.Faults, func(f decision.Fault) bool { return f.Problem != "given twice" && f.Field != "value" })
}

func TestDecisionSchemaAgreesWithDecode(t *testing.T) {
	s := compiled(t, document(t, "decision.json"))
	base := map[string]string{"profile_id": `"` + profileID + `"`, "task_id": `"` + taskID + `"`, "state": `"COMPLETED_PASS"`}
	each := func(with map[string]string, do func(members map[string]string)) { // with one more field changed
		for field, values := range candidates {
			for _, v := range append(values, "null", "") {
				members := maps.Clone(with)
				if members[field] = v; v == "" {
					delete(members, field)
				}
				do(members)
			}
		}
	}
	each(base, func(members map[string]string) {
		each(members, func(members map[string]string) { agree(t, s, members) })
	})
	for _, field := range decision.Fields {
		if _, ok := document(t, "decision.json")["properties"].(map[string]any)[field]; !ok {
			t.Errorf("the schema lacks %s", field)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		members := make(map[string]string)
		for _, field := range slices.Sorted(maps.Keys(candidates)) {
			if rapid.IntRange(0, 3).Draw(t, field+" given") > 0 {
				members[field] = rapid.SampledFrom(append(candidates[field][:1:1], append(candidates[field], "null")...)).Draw(t, field)
			}
		}
		agree(t, s, members)
	})
}

func agree(t interface{ Errorf(string, ...any) }, s *jsonschema.Schema, members map[string]string) {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(members)) {
		parts = append(parts, fmt.Sprintf("%q:%s", name, members[name]))
	}
	value := "{" + strings.Join(parts, ",") + "}"
	_, decoded := decision.Decode(record(value))
	bySchema := valid(s, []byte(value))
	if decoded == nil && bySchema != nil || decoded != nil && bySchema == nil && expressible(decoded) {
		t.Errorf("%s\nDecode: %v\nschema: %v", value, decoded, bySchema)
	}
}

func TestResultSchemaFitsEveryResult(t *testing.T) {
	doc := document(t, "result.json")
	doc["additionalProperties"] = false // so that a member without a description is found
	s := compiled(t, doc)
	for _, outcome := range decision.Outcomes {
		for _, full := range []bool{true, false} {
			r := fullResult()
			r.Outcome = outcome
			if !full {
				r = decision.Result{
					DecisionID: "t/0/0", DecisionKey: r.DecisionKey, ProfileID: profileID, TaskID: taskID, State: decision.CompletedFail, Outcome: outcome,
					ReceivedAt: r.ReceivedAt, CompletedAt: r.CompletedAt, Origin: decision.Position{Topic: "t"},
				}
			}
			rec := r.Encode("task-results", nil)
			err := valid(s, rec.Value)
			if outcome == decision.DeadLettered { // which has no result
				if err == nil {
					t.Error("the schema accepts dead_lettered as the outcome of a result")
				}
				continue
			}
			if err != nil {
				t.Errorf("%s\n%v", rec.Value, err)
			}
			var members map[string]any
			if err := json.Unmarshal(rec.Value, &members); err != nil {
				t.Fatal(err)
			}
			for _, name := range doc["required"].([]any) {
				without := maps.Clone(members)
				delete(without, name.(string))
				if s.Validate(without) == nil {
					t.Errorf("a result without %s is accepted", name)
				}
			}
		}
	}
}

func TestDeadLetterSchemaFitsEveryDeadLetter(t *testing.T) {
	doc := document(t, "dead-letter-headers.json")
	doc["additionalProperties"] = false
	s := compiled(t, doc)
	for _, reason := range decision.Reasons {
		d := letter()
		d.Reason, d.Error = reason, "line 1\nline 2 \x00\xff"+strings.Repeat("ü", 4096)
		bare := decision.DeadLetter{Reason: reason, FailedAt: decision.Time{Time: time.Now()}}
		for _, rec := range []decision.Record{
			d.Encode("dlq", original()), decision.WithoutValue(d.Encode("dlq", original())), bare.Encode("dlq", &decision.Record{Topic: "t"}),
		} {
			headers := make(map[string]any)
			for _, h := range rec.Headers {
				if strings.HasPrefix(h.Key, "verdict-") {
					headers[h.Key] = string(h.Value)
				}
			}
			if err := s.Validate(headers); err != nil {
				t.Errorf("%v\n%v", headers, err)
			}
			for _, name := range doc["required"].([]any) {
				without := maps.Clone(headers)
				delete(without, name.(string))
				if s.Validate(without) == nil {
					t.Errorf("headers without %s are accepted", name)
				}
			}
		}
	}
}
