package decision_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"verdict/decision"
)

// answer is the API's published sample, with what an encoder likes to rewrite.
const answer = `{"check_ids":["ea70ade9-3de3-1785-203b-68044cd3ecbb"],"creation_date":"2019-10-03 13:48:16","form_instance_ids":[],` +
	`"id":"a2c4393a-e219-67a4-5ab4-2186952e9038","is_complete":true,"state":"COMPLETED_PASS","n":1.50e+02,"big":12345678901234567890,` +
	`"variant":{"name":"Verify <identity> & more – Forexo\u00fc"}}`

func fullResult() decision.Result {
	return decision.Result{
		DecisionID: "dec-1", ProfileID: profileID, TaskID: taskID,
		State: decision.CompletedPass, Outcome: decision.Completed,
		Attempts: 2, HTTPStatus: 200, Task: json.RawMessage(answer),
		DecidedAt:   "2026-11-01T07:00:29+01:00",
		ReceivedAt:  decision.Time{Time: time.Date(2026, 11, 1, 7, 0, 30, 1_999_999, time.FixedZone("", 3600))},
		CompletedAt: decision.Time{Time: time.Date(2026, 11, 1, 6, 0, 31, 0, time.UTC)},
		Source:      "a<b>&c", Reason: "Überprüfung", BatchID: "autumn",
		Origin: decision.Origin{Topic: "task-decisions", Partition: 3, Offset: 42},
	}
}

func TestResultIsWrittenInTheContractsFieldsAndOrder(t *testing.T) {
	result := fullResult()
	rec, err := result.Record("task-results", []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"decision_id":"dec-1","profile_id":"` + profileID + `","task_id":"` + taskID + `","state":"COMPLETED_PASS",` +
		`"outcome":"completed","attempts":2,"http_status":200,"task":` + answer + `,` +
		`"decided_at":"2026-11-01T07:00:29+01:00","received_at":"2026-11-01T06:00:30.001Z","completed_at":"2026-11-01T06:00:31.000Z",` +
		`"source":"a<b>&c","reason":"Überprüfung","batch_id":"autumn",` +
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
		Origin: decision.Origin{Topic: "task-decisions"},
	}
	rec, err := result.Record("task-results", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"decision_id":"task-decisions/0/0","profile_id":"` + profileID + `","task_id":"` + taskID + `","state":"COMPLETED_FAIL",` +
		`"outcome":"duplicate","attempts":0,"received_at":"0001-01-01T00:00:00.000Z","completed_at":"0001-01-01T00:00:00.000Z",` +
		`"origin":{"topic":"task-decisions","partition":0,"offset":0}}`
	if string(rec.Value) != want || rec.Key != nil {
		t.Errorf("got  %s, key %q\nwant %s", rec.Value, rec.Key, want)
	}
}

func TestResultRefusesAnAnswerThatIsNoJSON(t *testing.T) {
	result := fullResult()
	result.Task = json.RawMessage("<html>")
	if _, err := result.Record("task-results", nil); err == nil || !strings.Contains(err.Error(), "dec-1") {
		t.Errorf("got %v; want an error that names the decision", err)
	}
}

func BenchmarkResultRecord(b *testing.B) {
	result := fullResult()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := result.Record("task-results", nil); err != nil {
			b.Fatal(err)
		}
	}
}
