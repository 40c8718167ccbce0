package decision_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"verdict/internal/decision"
)

// answer is the API's published sample with details that an encoder would rewrite.
const answer = `{"check_ids":["ea70ade9-3de3-1785-203b-68044cd3ecbb"],"creation_date":"2019-10-03 13:48:16","form_instance_ids":[],` +
	`"id":"a2c4393a-e219-67a4-5ab4-2186952e9038","is_complete":true,"state":"COMPLETED_PASS","n":1.50e+02,"big":12345678901234567890,` +
	`"variant":{"name":"Verify <identity> & more – Forexo\u00fc"}}`

func fullResult() decision.Result {
	return decision.Result{
		DecisionID: "dec-1", DecisionKey: strings.Repeat("0f", 16), ProfileID: profileID, TaskID: taskID,
		State: decision.CompletedPass, Outcome: decision.Completed,
		Attempts: 2, HTTPStatus: 200, Task: json.RawMessage(answer),
		Profile:     &decision.Profile{Outcome: decision.SomeFailed, OpenTasks: 2, FailedTasks: 1},
		DecidedAt:   "2026-11-01T07:00:29+01:00",
		ReceivedAt:  decision.Time{Time: time.Date(2026, 11, 1, 7, 0, 30, 1_999_999, time.FixedZone("", 3600))},
		CompletedAt: decision.Time{Time: time.Date(2026, 11, 1, 6, 0, 31, 0, time.UTC)},
		Source:      "a<b>&c", Reason: "Überprüfung", BatchID: "autumn", EditedBy: "ops@backoffice",
		Origin: decision.Position{Topic: "task-decisions", Partition: 3, Offset: 42},
	}
}

func TestResultHasTheContractsFieldsAndOrder(t *testing.T) {
	result := fullResult()
	rec := result.Encode("task-results", []byte("key"))
	want := `{"decision_id":"dec-1","decision_key":"0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f","profile_id":"` + profileID + `","task_id":"` + taskID + `","state":"COMPLETED_PASS",` +
		`"outcome":"completed","attempts":2,"http_status":200,"task":` + answer + `,` +
		`"profile":{"outcome":"some_failed","open_tasks":2,"failed_tasks":1},` +
		`"decided_at":"2026-11-01T07:00:29+01:00","received_at":"2026-11-01T06:00:30.001Z","completed_at":"2026-11-01T06:00:31.000Z",` +
		`"source":"a<b>&c","reason":"Überprüfung","batch_id":"autumn","edited_by":"ops@backoffice",` +
		`"origin":{"topic":"task-decisions","partition":3,"offset":42}}`
	if string(rec.Value) != want {
		t.Errorf("got  %s\nwant %s", rec.Value, want)
	}
	if rec.Topic != "task-results" || string(rec.Key) != "key" || rec.Headers != nil {
		t.Errorf("got %+v", rec)
	}
}

func TestResultLeavesAbsentFieldsOut(t *testing.T) {
	result := decision.Result{
		DecisionID: "task-decisions/0/0", ProfileID: profileID, TaskID: taskID,
		State: decision.CompletedFail, Outcome: decision.Duplicate,
		Origin: decision.Position{Topic: "task-decisions"},
	}
	rec := result.Encode("task-results", nil)
	want := `{"decision_id":"task-decisions/0/0","profile_id":"` + profileID + `","task_id":"` + taskID + `","state":"COMPLETED_FAIL",` +
		`"outcome":"duplicate","attempts":0,"received_at":"0001-01-01T00:00:00.000Z","completed_at":"0001-01-01T00:00:00.000Z",` +
		`"origin":{"topic":"task-decisions","partition":0,"offset":0}}`
	if string(rec.Value) != want || rec.Key != nil {
		t.Errorf("got  %s, key %q\nwant %s", rec.Value, rec.Key, want)
	}
}

func FuzzResultMatchesEncodingJSON(f *testing.F) {
	f.Add("dec-1", "a<b>&c \"quoted\" \\ Überprüfung \x00\xff\u2028", `{"id": "x",  "n": 1e400}`, int64(7))
	f.Fuzz(func(t *testing.T, id, text, task string, n int64) {
		r := fullResult()
		r.DecisionID, r.Source, r.Reason, r.BatchID, r.Origin.Topic, r.Origin.Offset = id, text, text, text, text, n
		r.HTTPStatus, r.Task = int(n), nil
		if json.Valid([]byte(task)) {
			r.Task = json.RawMessage(task)
		}
		want, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		rec := r.Encode("t", nil)
		if !json.Valid(rec.Value) || plain(t, rec.Value) != plain(t, want) {
			t.Errorf("got  %s\nwant %s", rec.Value, want)
		}
	})
}

// plain normalizes JSON: its spaces, escapes and order.
func plain(t *testing.T, value []byte) string {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func BenchmarkResultRecord(b *testing.B) {
	result := fullResult()
	b.ReportAllocs()
	for b.Loop() {
		result.Encode("task-results", nil)
	}
}

func TestParseResultReadsBackWhatWasWritten(t *testing.T) {
	want := fullResult()
	rec := want.Encode("task-results", nil)
	got, err := decision.ParseResult(rec.Value)
	if err != nil {
		t.Fatal(err)
	}
	if got.ReceivedAt.String() != want.ReceivedAt.String() || got.CompletedAt.String() != want.CompletedAt.String() {
		t.Errorf("times %s and %s; want %s and %s", got.ReceivedAt, got.CompletedAt, want.ReceivedAt, want.CompletedAt)
	}
	if again := got.Encode("task-results", nil); string(again.Value) != string(rec.Value) {
		t.Errorf("written again: %s\nwant %s", again.Value, rec.Value)
	}
}

func TestParseResultTolerates(t *testing.T) {
	for name, value := range map[string]string{
		"an unknown field":   `{"decision_id":"a",` + ids + `,"outcome":"completed","profile":{"x":[1]}}`,
		"an unknown outcome": `{"decision_id":"a",` + ids + `,"outcome":"looked_up"}`,
	} {
		if r, err := decision.ParseResult([]byte(value)); err != nil || r.DecisionID != "a" {
			t.Errorf("%s: got %+v, %v", name, r, err)
		}
	}
}

func TestParseResultRefuses(t *testing.T) {
	for name, value := range map[string]string{
		"nothing":                       "",
		"a decision":                    `{"id":"a",` + pass + `}`,
		"no outcome":                    `{"decision_id":"a",` + ids + `}`,
		"an outcome that is not a word": `{"decision_id":"a",` + ids + `,"outcome":"\u001b[31m"}`,
		"no task":                       `{"decision_id":"a","profile_id":"` + profileID + `","outcome":"completed"}`,
		"another type":                  `{"decision_id":1,` + ids + `,"outcome":"completed"}`,
		"an array":                      `[]`,
		"null":                          `null`,
		"larger than the limit":         `{"decision_id":"a",` + ids + `,"outcome":"completed","x":"` + strings.Repeat("x", decision.MaxResultSize) + `"}`,
	} {
		if r, err := decision.ParseResult([]byte(value)); err == nil || len(err.Error()) > 300 {
			t.Errorf("%s: got %+v, %v", name, r, err)
		}
	}
}

func FuzzParseResult(f *testing.F) {
	result := fullResult()
	rec := result.Encode("", nil)
	f.Add(rec.Value)
	f.Add([]byte(`{"decision_id":"a",` + ids + `,"outcome":"completed","received_at":"9999-12-31T23:59:59-23:59"}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		r, err := decision.ParseResult(value)
		if err != nil {
			return
		}
		if again := r.Encode("t", nil); !json.Valid(again.Value) {
			t.Errorf("written again, it is not JSON: %s", again.Value)
		}
	})
}
