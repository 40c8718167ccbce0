package decision_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"verdict/internal/decision"
)

const (
	profileID = "ea70ade9-3de3-1785-203b-68044cd3ecbb"
	taskID    = "a2c4393a-e219-67a4-5ab4-2186952e9038"
	ids       = `"profile_id":"` + profileID + `","task_id":"` + taskID + `"`
	pass      = ids + `,"state":"COMPLETED_PASS"`
)

func record(value string) *decision.Record {
	return &decision.Record{Topic: "task-decisions", Partition: 3, Offset: 42, Value: []byte(value)}
}

func TestDecodeReadsEveryField(t *testing.T) {
	d, err := decision.Decode(record(`{
		"id": "dec-1",
		"profile_id": "EA70ADE9-3DE3-1785-203B-68044CD3ECBB",
		"task_id": "A2C4393A-e219-67a4-5ab4-2186952e9038",
		"state": "COMPLETED_FAIL",
		"decided_at": "2026-11-01T07:00:29.5+01:00",
		"expires_at": "2026-11-02T06:00:00Z",
		"source": "kyc-decider",
		"reason": "\u00dcberpr\u00fcfung \"ok\"\n",
		"batch_id": "autumn",
		"amount": {"a": [1, "}", {"id": 2}]}, "note": "\\\"}"
	}`))
	want := decision.Decision{
		ID: "dec-1", OwnID: true,
		Task:      decision.Task{ProfileID: profileID, TaskID: taskID},
		State:     decision.CompletedFail,
		DecidedAt: "2026-11-01T07:00:29.5+01:00",
		ExpiresAt: time.Date(2026, 11, 2, 6, 0, 0, 0, time.UTC),
		Source:    "kyc-decider", Reason: "Überprüfung \"ok\"\n", BatchID: "autumn",
	}
	if err != nil || d != want {
		t.Errorf("got %+v, %v\nwant %+v", d, err, want)
	}
}

func TestDecodeAccepts(t *testing.T) {
	for name, tc := range map[string]struct {
		value string
		want  decision.Decision // Task is filled in
	}{
		"without an id: topic, partition and offset": {
			`{` + pass + `}`,
			decision.Decision{ID: "task-decisions/3/42", State: decision.CompletedPass},
		},
		"is_complete true instead of state": {
			`{"id":"a",` + ids + `,"is_complete":true}`,
			decision.Decision{ID: "a", OwnID: true, State: decision.CompletedPass},
		},
		"is_complete true that agrees with state": {
			`{"id":"a",` + pass + `,"is_complete":true}`,
			decision.Decision{ID: "a", OwnID: true, State: decision.CompletedPass},
		},
		"times in lower case, which RFC 3339 allows": {
			`{"id":"a",` + pass + `,"decided_at":"2026-11-01t06:00:29.5z","expires_at":"2026-11-02t06:00:00z"}`,
			decision.Decision{
				ID: "a", OwnID: true, State: decision.CompletedPass,
				DecidedAt: "2026-11-01T06:00:29.5Z", ExpiresAt: time.Date(2026, 11, 2, 6, 0, 0, 0, time.UTC),
			},
		},
		"is_complete null counts as absent": {
			`{"id":"a",` + ids + `,"state":"COMPLETED_FAIL","is_complete":null}`,
			decision.Decision{ID: "a", OwnID: true, State: decision.CompletedFail},
		},
		"null counts as absent everywhere": {
			`{"id":null,"task":null,"decided_at":null,"expires_at":null,"source":null,"reason":null,"batch_id":null,` + pass + `}`,
			decision.Decision{ID: "task-decisions/3/42", State: decision.CompletedPass},
		},
		"names in another case are other fields": {
			`{"ID":"x","Id":7,"State":"PASS","SOURCE":false,` + pass + `}`,
			decision.Decision{ID: "task-decisions/3/42", State: decision.CompletedPass},
		},
		"other fields twice": {
			`{"x":1,"x":2,` + pass + `}`,
			decision.Decision{ID: "task-decisions/3/42", State: decision.CompletedPass},
		},
		"an escaped name is the same name": {
			`{"\u0069d":"a",` + pass + `}`,
			decision.Decision{ID: "a", OwnID: true, State: decision.CompletedPass},
		},
		"id of 128 characters that are more bytes": {
			`{"id":"` + strings.Repeat("ü", 128) + `",` + pass + `}`,
			decision.Decision{ID: strings.Repeat("ü", 128), OwnID: true, State: decision.CompletedPass},
		},
		"text of 1 KiB": {
			`{"id":"a",` + pass + `,"reason":"` + strings.Repeat("r", 1024) + `"}`,
			decision.Decision{ID: "a", OwnID: true, State: decision.CompletedPass, Reason: strings.Repeat("r", 1024)},
		},
		"empty texts": {
			`{"id":"a",` + pass + `,"reason":"","source":"","batch_id":""}`,
			decision.Decision{ID: "a", OwnID: true, State: decision.CompletedPass},
		},
		"white space around": {
			" \r\n\t{ " + pass + " }\n",
			decision.Decision{ID: "task-decisions/3/42", State: decision.CompletedPass},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc.want.Task = decision.Task{ProfileID: profileID, TaskID: taskID}
			got, err := decision.Decode(record(tc.value))
			if err != nil || got != tc.want {
				t.Errorf("got %+v, %v\nwant %+v", got, err, tc.want)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		value, want string
	}{
		"no value":          {"", "value: empty; a decision is a JSON object"},
		"only white space":  {" \n\t", "value: empty; a decision is a JSON object"},
		"an array":          {`[{` + pass + `}]`, "value: not a JSON object"},
		"null":              {`null`, "value: not a JSON object"},
		"a number":          {`7`, "value: not a JSON object"},
		"not JSON":          {`state=PASS`, "value: not valid JSON: invalid character 's' looking for beginning of value"},
		"cut off":           {`{"id":"a`, "value: not valid JSON: unexpected end of JSON input"},
		"two objects":       {`{}{}`, "value: not valid JSON: invalid character '{' after top-level value"},
		"byte order mark":   {"\ufeff{" + pass + "}", "value: not valid JSON: invalid character 'ï' looking for beginning of value"},
		"control character": {"{\"id\":\"a\nb\"," + pass + "}", `value: not valid JSON: invalid character '\n' in string literal`},
		"invalid UTF-8":     {"{\"reason\":\"\xff\"," + pass + "}", "value: not valid UTF-8"},
		"over 64 KiB": {
			`{` + pass + `,"x":"` + strings.Repeat("x", 64<<10) + `"}`,
			"value: the record has 65670 bytes; the limit is 65536",
		},
		"nested too deep": {
			`{"x":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`,
			"value: not valid JSON: invalid character '[' exceeded max depth",
		},

		"empty object": {`{}`, "profile_id: missing; task_id: missing; state: missing"},
		"every field wrong at once": {
			`{"id":"","profile_id":"1","task_id":2,"state":"PASS","is_complete":"true","decided_at":"today","expires_at":5,` +
				`"source":[],"reason":{},"batch_id":true}`,
			`id: must be 1 to 128 printable characters, is ""; ` +
				`profile_id: must be 8-4-4-4-12 hexadecimal, is "1"; ` +
				`task_id: must be a string, is 2; ` +
				`state: must be COMPLETED_PASS or COMPLETED_FAIL, is "PASS"; ` +
				`is_complete: must be true or false, is "true"; ` +
				`decided_at: must be an RFC 3339 time such as 2026-11-01T06:00:29Z, is "today"; ` +
				`expires_at: must be a string, is 5; ` +
				`source: must be a string, is []; reason: must be a string, is {}; batch_id: must be a string, is true`,
		},

		"id of 129 characters":        {`{"id":"` + strings.Repeat("i", 129) + `",` + pass + `}`, `id: must be 1 to 128 printable characters, is "` + strings.Repeat("i", 48) + `…"`},
		"id with a control character": {`{"id":"a\u0007b",` + pass + `}`, `id: must be 1 to 128 printable characters, is "a\ab"`},
		"id with a line end":          {`{"id":"a\nb",` + pass + `}`, `id: must be 1 to 128 printable characters, is "a\nb"`},
		"id with half a surrogate":    {`{"id":"a\ud800",` + pass + `}`, `id: must be 1 to 128 printable characters, is "a�"`},
		"id that is a number":         {`{"id":12,` + pass + `}`, `id: must be a string, is 12`},
		"id twice":                    {`{"id":"a","id":"b",` + pass + `}`, `id: given twice`},
		"id twice, once escaped":      {`{"id":"a","\u0069\u0064":"a",` + pass + `}`, `id: given twice`},
		"id twice, once null":         {`{"id":null,"id":"a",` + pass + `}`, `id: given twice`},
		"id three times":              {`{"id":"a","id":"b","id":"c",` + pass + `}`, `id: given twice`},
		"state twice":                 {`{` + pass + `,"state":"COMPLETED_FAIL"}`, `state: given twice`},

		"profile_id null":           {`{"profile_id":null,"task_id":"` + taskID + `","state":"COMPLETED_PASS"}`, "profile_id: missing"},
		"profile_id without dashes": {`{"profile_id":"ea70ade93de31785203b68044cd3ecbb","task_id":"` + taskID + `","state":"COMPLETED_PASS"}`, `profile_id: must be 8-4-4-4-12 hexadecimal, is "ea70ade93de31785203b68044cd3ecbb"`},
		"profile_id with a path":    {`{"profile_id":"../../profiles/00000000-0000-0000","task_id":"` + taskID + `","state":"COMPLETED_PASS"}`, `profile_id: must be 8-4-4-4-12 hexadecimal, is "../../profiles/00000000-0000-0000"`},
		"task_id not hexadecimal":   {`{"profile_id":"` + profileID + `","task_id":"g2c4393a-e219-67a4-5ab4-2186952e9038","state":"COMPLETED_PASS"}`, `task_id: must be 8-4-4-4-12 hexadecimal, is "g2c4393a-e219-67a4-5ab4-2186952e9038"`},
		"task_id with white space":  {`{"profile_id":"` + profileID + `","task_id":"` + taskID + ` ","state":"COMPLETED_PASS"}`, `task_id: must be 8-4-4-4-12 hexadecimal, is "` + taskID + ` "`},

		"no state":                          {`{` + ids + `}`, "state: missing"},
		"state in lower case":               {`{` + ids + `,"state":"completed_pass"}`, `state: must be COMPLETED_PASS or COMPLETED_FAIL, is "completed_pass"`},
		"state INCOMPLETE":                  {`{` + ids + `,"state":"INCOMPLETE"}`, `state: must be COMPLETED_PASS or COMPLETED_FAIL, is "INCOMPLETE"`},
		"state empty":                       {`{` + ids + `,"state":""}`, `state: must be COMPLETED_PASS or COMPLETED_FAIL, is ""`},
		"state wrong beside is_complete":    {`{` + ids + `,"state":"","is_complete":true}`, `state: must be COMPLETED_PASS or COMPLETED_FAIL, is ""`},
		"state a number beside is_complete": {`{` + ids + `,"state":1,"is_complete":true}`, `state: must be a string, is 1`},
		"is_complete false":                 {`{` + ids + `,"is_complete":false}`, "is_complete: false decides nothing; leave it out or give state"},
		"is_complete false beside FAIL":     {`{` + ids + `,"state":"COMPLETED_FAIL","is_complete":false}`, "is_complete: false decides nothing; leave it out or give state"},
		"is_complete against state":         {`{` + ids + `,"state":"COMPLETED_FAIL","is_complete":true}`, "is_complete: true contradicts state COMPLETED_FAIL"},
		"is_complete a number":              {`{` + ids + `,"is_complete":1}`, `is_complete: must be true or false, is 1`},

		"source over 1 KiB":                 {`{` + pass + `,"source":"` + strings.Repeat("ü", 513) + `"}`, "source: has 1026 bytes; the limit is 1024"},
		"time without a zone":               {`{` + pass + `,"decided_at":"2026-11-01T06:00:29"}`, `decided_at: must be an RFC 3339 time such as 2026-11-01T06:00:29Z, is "2026-11-01T06:00:29"`},
		"time with a short hour":            {`{` + pass + `,"decided_at":"2026-11-01T6:00:29Z"}`, `decided_at: must be an RFC 3339 time such as 2026-11-01T06:00:29Z, is "2026-11-01T6:00:29Z"`},
		"time with a comma":                 {`{` + pass + `,"expires_at":"2026-11-01T06:00:29,5Z"}`, `expires_at: must be an RFC 3339 time such as 2026-11-01T06:00:29Z, is "2026-11-01T06:00:29,5Z"`},
		"time with a wider offset":          {`{` + pass + `,"expires_at":"2026-11-01T06:00:29+99:00"}`, `expires_at: must be an RFC 3339 time such as 2026-11-01T06:00:29Z, is "2026-11-01T06:00:29+99:00"`},
		"time with a wide offset":           {`{` + pass + `,"expires_at":"2026-11-01T06:00:29+24:60"}`, `expires_at: must be an RFC 3339 time such as 2026-11-01T06:00:29Z, is "2026-11-01T06:00:29+24:60"`},
		"time on a day that does not exist": {`{` + pass + `,"expires_at":"2026-02-30T06:00:29Z"}`, `expires_at: must be an RFC 3339 time such as 2026-11-01T06:00:29Z, is "2026-02-30T06:00:29Z"`},
		"task beside task_id":               {`{"task":{"alias":"id"},` + pass + `}`, "task: given together with task_id; give only one of them"},
		"invalid task beside task_id":       {`{"task":{"id":1},` + pass + `}`, `task: given together with task_id; give only one of them; task: has the unknown member "id"; a task is named by alias or type`},
		"task a string":                     {keyed(`"id"`), `task: must be an object with alias or type, is "id"`},
		"task an array":                     {keyed(`[]`), `task: must be an object with alias or type, is []`},
		"task empty":                        {keyed(`{}`), "task: has neither alias nor type"},
		"task of nulls":                     {keyed(`{"alias":null,"type":null}`), "task: has neither alias nor type"},
		"task with both":                    {keyed(`{"alias":"a","type":"T"}`), "task: has both alias and type; give one of them"},
		"task with an unknown member":       {keyed(`{"alias":"a","variant":"v"}`), `task: has the unknown member "variant"; a task is named by alias or type`},
		"task in another case":              {keyed(`{"Alias":"a"}`), `task: has the unknown member "Alias"; a task is named by alias or type`},
		"task twice":                        {`{"task":{"alias":"a"},"task":{"alias":"a"},"profile_id":"` + profileID + `","state":"COMPLETED_PASS"}`, "task: given twice"},
		"alias twice":                       {keyed(`{"alias":"a","\u0061lias":"b"}`), "task.alias: given twice"},
		"alias empty":                       {keyed(`{"alias":""}`), `task.alias: must be 1 to 256 printable characters, is ""`},
		"alias of 257 characters":           {keyed(`{"alias":"` + strings.Repeat("a", 257) + `"}`), `task.alias: must be 1 to 256 printable characters, is "` + strings.Repeat("a", 48) + `…"`},
		"type with a line end":              {keyed(`{"type":"a\nb"}`), `task.type: must be 1 to 256 printable characters, is "a\nb"`},
		"type a number":                     {keyed(`{"type":5}`), `task.type: must be a string, is 5`},
		"alias and type both wrong":         {keyed(`{"alias":"","type":5}`), `task.alias: must be 1 to 256 printable characters, is ""; task.type: must be a string, is 5`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decision.Decode(record(tc.value))
			invalid, ok := errors.AsType[*decision.Invalid](err)
			if !ok || invalid.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestDecodeCountsKeyAndHeadersIntoTheLimit(t *testing.T) {
	rec := record(`{` + pass + `}`)
	rec.Key = make([]byte, 1000)
	rec.Headers = []decision.Header{{Key: "h", Value: make([]byte, decision.MaxRecordSize-1000-1-len(rec.Value))}}
	if _, err := decision.Decode(rec); err != nil {
		t.Errorf("exactly the limit: %v", err)
	}
	rec.Headers = append(rec.Headers, decision.Header{Key: decision.HeaderRedrives, Value: []byte("1")})
	if _, err := decision.Decode(rec); err != nil {
		t.Errorf("exactly the limit, redriven: %v", err)
	}
	rec.Key = append(rec.Key, 0)
	if _, err := decision.Decode(rec); err == nil {
		t.Error("one byte more was accepted")
	}
}

func TestDecodeKeepsTheOwnIDOfAnInvalidDecision(t *testing.T) {
	d, err := decision.Decode(record(`{"id":"dec-7","state":"PASS"}`))
	if err == nil || d.ID != "dec-7" || !d.OwnID {
		t.Errorf("got %+v, %v; want the ID that could be read", d, err)
	}
	d, err = decision.Decode(record(`{"state":"PASS"}`))
	if err == nil || d.ID != "" || d.OwnID {
		t.Errorf("got %+v, %v; want no ID: none could be read", d, err)
	}
}

func TestDecodeBoundsFaultsOfAHostileRecord(t *testing.T) {
	_, err := decision.Decode(record(`{` + strings.Repeat(`"id":1,`, 9000) + `"state":1}`))
	invalid, ok := errors.AsType[*decision.Invalid](err)
	if !ok || len(invalid.Faults) > 11 || len(err.Error()) > 4096 {
		t.Errorf("%d faults, %d bytes", len(invalid.Faults), len(err.Error()))
	}
}

// FuzzDecode compares Decode, which has its own JSON reader, with encoding/json:
// Decode never panics, and encoding/json reads the same from what it accepts.
func FuzzDecode(f *testing.F) {
	for _, v := range []string{
		"", "{}", "[]", `{` + pass + `}`, `{"id":"a",` + ids + `,"is_complete":true}`,
		`{"a":{"b":[{},"}",[]]},` + pass + `,"z":-1.5e3}`, `{"\u0069d":"\ud83d\ude00",` + pass + `}`,
		`{"x":"\\","y":"\"",` + pass + ` , "source" : "s\/\u00fc" }`, `{"id":"a","id":"b",` + pass + `}`,
		keyed(`{"alias":"a"}`), keyed(`{"type":"T","alias":null}`), keyed(`{"x":{}}`),
		`{` + pass + `,"decided_at":"2026-11-01T06:00:29Z","expires_at":"2026-11-01T06:00:29.123+01:00","reason":null}`,
	} {
		f.Add([]byte(v))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		rec := &decision.Record{Topic: "t", Partition: 1, Offset: 2, Value: value}
		d, err := decision.Decode(rec)
		if err != nil {
			if _, ok := errors.AsType[*decision.Invalid](err); !ok || err.Error() == "" {
				t.Fatalf("an error without a fault: %#v", err)
			}
			return
		}
		var object map[string]any
		if err := json.Unmarshal(value, &object); err != nil {
			t.Fatalf("decoded what encoding/json can't: %v", err)
		}
		maps.DeleteFunc(object, func(_ string, v any) bool { return v == nil })
		text := func(field string) string {
			s, ok := object[field].(string)
			if _, there := object[field]; there && !ok {
				t.Fatalf("%s is %v, which is not a string", field, object[field])
			}
			return s
		}
		want := decision.Decision{
			ID: text("id"), OwnID: object["id"] != nil,
			Task:      decision.NewTask(text("profile_id"), text("task_id")),
			State:     decision.State(text("state")),
			DecidedAt: text("decided_at"), ExpiresAt: d.ExpiresAt,
			Source: text("source"), Reason: text("reason"), BatchID: text("batch_id"),
		}
		if !want.OwnID {
			want.ID = "t/1/2"
		}
		if object["is_complete"] == true && want.State == "" {
			want.State = decision.CompletedPass
		}
		if named, ok := object["task"].(map[string]any); ok {
			want.Key.Alias, _ = named["alias"].(string)
			want.Key.Type, _ = named["type"].(string)
		}
		if (d.Key == decision.Key{}) == (d.Task.TaskID == "") {
			t.Errorf("both or neither of key and ID: %+v", d)
		}
		if d != want {
			t.Errorf("got  %+v\nwant %+v", d, want)
		}
		if s := text("expires_at"); (s != "") != !d.ExpiresAt.IsZero() {
			t.Errorf("expires_at %q became %v", s, d.ExpiresAt)
		}
		if !decision.ValidID(d.Task.ProfileID) || d.Key == (decision.Key{}) && !decision.ValidID(d.Task.TaskID) ||
			!slices.Contains([]decision.State{decision.CompletedPass, decision.CompletedFail}, d.State) {
			t.Errorf("accepted although it can't be carried out: %+v", d)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	rec := record(`{"id":"dec-000002","profile_id":"2330fcf1-562a-e4b8-4866-8d77e827062c","task_id":"bf2127f6-8f33-852b-d217-56e952c4b397",` +
		`"state":"COMPLETED_PASS","decided_at":"2026-11-01T06:01:42Z","source":"sanctions-screening",` +
		`"reason":"manual review: match confirmed, second pair of eyes","batch_id":"autumn-remediation"}`)
	b.SetBytes(int64(len(rec.Value)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decision.Decode(rec); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleDecode() {
	_, err := decision.Decode(&decision.Record{Value: []byte(`{"id": "dec-1", "profile_id": "Forexo", "is_complete": true}`)})
	fmt.Println(err)
	// Output: profile_id: must be 8-4-4-4-12 hexadecimal, is "Forexo"; task_id: missing
}
