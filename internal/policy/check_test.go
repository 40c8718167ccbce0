package policy

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"verdict/internal/decision"
)

const (
	profile = "3ceaaf30-8142-c8ea-91d9-3080f9b439fc"
	task1   = "70ff753d-3c88-ad8a-bd70-73d26c7e40ec"
	task2   = "a2c4393a-e219-67a4-5ab4-2186952e9038"
	secret  = "s3cr3t-of-the-webhook"
)

func decodeText(text string) (Check, bool, error) {
	return Decode(&decision.Record{Value: []byte(text), Time: time.Unix(1000, 0)})
}

func TestDecodeReadsCheckResults(t *testing.T) {
	at := time.Unix(1568997222, 0).UTC()
	for name, c := range map[string]struct {
		text string
		want Check
	}{
		"all fields": {
			`{"id":"r-1","profile_id":"` + strings.ToUpper(profile) + `","task_id":"` + strings.ToUpper(task1) + `","check_id":"EA70ADE9-3de3-1785-203b-68044cd3ecbb","decision":"PASS","checked_at":"2019-09-20T17:33:42+01:00","more":{"a":[1]}}`,
			Check{ID: "ea70ade9-3de3-1785-203b-68044cd3ecbb", Tasks: []Task{{ProfileID: profile, TaskID: task1}}, Result: decision.CheckPass, At: at},
		},
		"only an id, and the record's time": {
			`{"id":"Result 1","profile_id":"` + profile + `","task_id":"` + task1 + `","check_id":null,"decision":"ERROR"}`,
			Check{ID: "Result 1", Tasks: []Task{{ProfileID: profile, TaskID: task1}}, Result: decision.CheckError, At: time.Unix(1000, 0).UTC()},
		},
		"a task by its alias": {
			`{"check_id":"c","profile_id":"` + profile + `","task":{"alias":"docs"},"decision":"WARN","checked_at":"2019-09-20T16:33:42Z"}`,
			Check{ID: "c", Tasks: []Task{{ProfileID: profile, Alias: "docs"}}, Result: decision.CheckWarn, At: at},
		},
		"a task by its ID, with alias and type": {
			`{"check_id":"c","profile_id":"` + profile + `","task_id":"` + task1 + `","task":{"alias":"docs","type":"T"},"decision":"PARTIAL","checked_at":"2019-09-20T16:33:42Z"}`,
			Check{ID: "c", Tasks: []Task{{ProfileID: profile, TaskID: task1, Alias: "docs", Type: "T"}}, Result: decision.CheckPartial, At: at},
		},
		"an envelope of a check with its tasks": {
			`{"id":"e","event":"CHECK_COMPLETED","secret":"` + secret + `","timestamp":1568997222,"data":{"profile_id":"` + profile + `","customer_ref":null,"check":{"id":"c","decision":"FAIL","state":"COMPLETE","task_ids":["` + task1 + `","` + strings.ToUpper(task1) + `","` + task2 + `"]}}}`,
			Check{ID: "c", Tasks: []Task{{ProfileID: profile, TaskID: task1}, {ProfileID: profile, TaskID: task2}}, Result: decision.CheckFail, At: at},
		},
		"an envelope with a plain result in it": {
			`{"id":"e","event":"Check completed","secret":"` + secret + `","timestamp":1568997222,"data":{"profile_id":"` + profile + `","task":{"type":"T"},"decision":"FAIL"}}`,
			Check{ID: "e", Tasks: []Task{{ProfileID: profile, Type: "T"}}, Result: decision.CheckFail, At: at},
		},
	} {
		got, ok, err := decodeText(c.text)
		if err != nil || !ok || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v, %v\nwant %+v", name, got, ok, err, c.want)
		}
	}
}

func TestDecodeIgnoresTheEnvelopeOfAnotherEvent(t *testing.T) {
	for _, text := range []string{
		`{"id":"e","event":"TASK_STATE_CHANGED","secret":"x","timestamp":1,"data":{"profile_id":"` + profile + `"}}`,
		`{"id":"e","event":"Events created","secret":"x","timestamp":1,"data":[]}`,
	} {
		if c, ok, err := decodeText(text); ok || err != nil {
			t.Errorf("%s: %+v, %v, %v", text, c, ok, err)
		}
	}
}

func TestDecodeNamesEveryFaultOfACheckResult(t *testing.T) {
	envelope := func(data string) string {
		return `{"id":"e","event":"CHECK_COMPLETED","secret":"` + secret + `","timestamp":1,"data":` + data + `}`
	}
	for text, want := range map[string]string{
		``:        "value: empty; a check result is a JSON object",
		`[]`:      "value: not a JSON object",
		`{`:       "value: not valid JSON: unexpected end of JSON input",
		"{\"\xff": "value: not valid UTF-8",
		`{}`:      "profile_id: missing; task_id: missing; decision: missing; check_id: missing, and so is id: a check must count once",
		`{"profile_id":"x","task_id":7,"decision":"Pass","check_id":"","checked_at":"yesterday"}`: `profile_id: must be 8-4-4-4-12 hexadecimal, is "x"; task_id: must be a string, is 7; ` +
			`decision: must be one of PASS, FAIL, PARTIAL, WARN, ERROR, is "Pass"; check_id: must be 1 to 128 printable characters, is ""; ` +
			`checked_at: must be an RFC 3339 time such as 2026-11-01T06:00:29Z, is "yesterday"`,
		`{"profile_id":"` + profile + `","task_id":"` + task1 + `","decision":"PASS","decision":"FAIL","check_id":"c"}`:                        "decision: given twice",
		`{"profile_id":"` + profile + `","task":{},"decision":"PASS","check_id":"c"}`:                                                          "task: must have alias or type, where there is no task_id",
		`{"profile_id":"` + profile + `","task":"docs","decision":"PASS","check_id":"c"}`:                                                      "task: must be an object",
		`{"profile_id":"` + profile + `","task":{"alias":"a\u0000"},"decision":"PASS","check_id":"c"}`:                                         `task.alias: must be 1 to 256 printable characters`,
		`{"profile_id":"` + profile + `","task_id":"` + task1 + `","decision":"PASS","check_id":"c","checked_at":"9999-12-31T23:59:59-01:00"}`: "checked_at: must be",
		`{"profile_id":"` + profile + `","task_id":"` + task1 + `","decision":"` + strings.Repeat("x", 70<<10) + `","check_id":"c"}`:           "value: the record has",
		envelope(`"` + secret + `"`): "data: must be an object",
		envelope(`{"profile_id":"` + profile + `","check":{"id":"c","decision":"FAIL"}}`):                "data.check.task_ids: missing, and so are data.task_id and data.task",
		envelope(`{"profile_id":"` + profile + `","check":{"id":"c","decision":"NO","task_ids":["x"]}}`): `data.check.decision: must be one of PASS, FAIL, PARTIAL, WARN, ERROR, is "NO"; data.check.task_ids: must be 8-4-4-4-12 hexadecimal, has "x"`,
		envelope(`{"profile_id":"` + profile + `","check":{"id":"c","decision":"FAIL","task_ids":[]}}`):  "data.check.task_ids: must be a list of 1 to 64 task IDs",
		strings.Replace(envelope(`{}`), `"timestamp":1`, `"timestamp":-1`, 1):                            "timestamp: must be Unix seconds",
	} {
		c, ok, err := decodeText(text)
		var invalid *decision.Invalid
		if ok || !errors.As(err, &invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.200s:\n got %v\nwant %s", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("the secret is in the error %v", err)
		}
		if !reflect.DeepEqual(c, Check{}) {
			t.Errorf("%.200s: part of a check is returned: %+v", text, c)
		}
	}
}

// FuzzDecode checks that Decode returns a check, no check or a fault, and that
// `verdict run` can read the decisions of any check.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"id":"r-1","profile_id":"`+profile+`","task_id":"`+task1+`","check_id":"c","decision":"PASS","checked_at":"2019-09-20T17:33:42+01:00"}`), int64(0))
	f.Add([]byte(`{"id":"r-1","profile_id":"`+profile+`","task":{"type":"T"},"decision":"PASS"}`), int64(1))
	f.Add([]byte(`{"id":"e","event":"CHECK_COMPLETED","secret":"`+secret+`","timestamp":1568997222,"data":{"profile_id":"`+profile+`","check":{"id":"c","decision":"PASS","task_ids":["`+task1+`"]}}}`), int64(2))
	set, faults := Parse("p.yaml", []byte("policies: [{pass: {on: [PASS, PARTIAL, WARN]}, fail: {on: [FAIL]}}]"))
	if faults != nil {
		f.Fatal(faults)
	}
	f.Fuzz(func(t *testing.T, value []byte, at int64) {
		rec := decision.Record{Value: value, Time: time.UnixMilli(at)}
		c, ok, err := Decode(&rec)
		if err != nil || !ok {
			if len(c.Tasks) > 0 {
				t.Fatalf("tasks without a check: %+v", c)
			}
			if err != nil && len(err.Error()) > 64<<10 {
				t.Fatalf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if len(c.Tasks) == 0 || len(c.Tasks) > maxTasks || c.ID == "" {
			t.Fatalf("%+v", c)
		}
		counts := NewCounts(set)
		for i := range c.Tasks {
			effect, decided := counts.Apply(&c, &c.Tasks[i], time.Unix(0, 0))
			if (decided != nil) != (c.Result != decision.CheckError && effect == decision.EffectDecided) {
				t.Fatalf("%+v: %s, %+v", c, effect, decided)
			}
			if decided == nil {
				continue
			}
			out, err := decided.Encode("decisions")
			if err != nil {
				t.Fatal(err)
			}
			d, err := decision.Decode(&out)
			if err != nil {
				t.Fatalf("run can't read %s: %v", out.Value, err)
			}
			if named := d.Key != (decision.Key{}); d.ID != decided.ID || d.Task != decision.NewTask(c.Tasks[i].ProfileID, c.Tasks[i].TaskID) || named != (d.Task.TaskID == "") {
				t.Fatalf("%s is read as %+v", out.Value, d)
			}
		}
		changes, err := counts.Changes()
		if err != nil {
			t.Fatal(err)
		}
		again := NewCounts(set)
		for _, change := range changes {
			again.Restore(change.Key, change.Value)
		}
		if err := again.Restored(); err != nil {
			t.Fatal(err)
		}
		if again.Tasks() != counts.Tasks() {
			t.Fatalf("%d tasks restored of %d", again.Tasks(), counts.Tasks())
		}
	})
}
