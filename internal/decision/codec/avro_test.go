package codec_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"

	"verdict/internal/decision"
)

const avroRecord = `{"type":"record","name":"Decision","namespace":"com.example","fields":[
	{"name":"score","type":"double"},
	{"name":"id","type":["null","string"],"default":null},
	{"name":"profile_id","type":{"type":"string","logicalType":"uuid"}},
	{"name":"task_id","type":"string"},
	{"name":"tags","type":{"type":"array","items":"string"}},
	{"name":"state","type":{"type":"enum","name":"State","symbols":["COMPLETED_PASS","COMPLETED_FAIL"]}},
	{"name":"raw","type":"bytes"},
	{"name":"decided_at","type":["null",{"type":"long","logicalType":"timestamp-millis"}]},
	{"name":"expires_at","type":{"type":"long","logicalType":"timestamp-micros"}},
	{"name":"source","type":["null","string"]},
	{"name":"reason","type":["null","int","string"]},
	{"name":"batch_id","type":"string"}]}`

func encodeAvro(t testing.TB, schema string, v any) []byte {
	t.Helper()
	b, err := avro.MustParse(schema).Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAvroTypesBecomeDecisionFields(t *testing.T) {
	with := func(fields ...string) string {
		return `{"type":"record","name":"D","fields":[{"name":"profile_id","type":"string"},{"name":"task_id","type":"string"},` + strings.Join(fields, ",") + `]}`
	}
	const state = `{"name":"state","type":"string"}`
	value := func(more ...any) map[string]any {
		m := map[string]any{"profile_id": profileID, "task_id": taskID, "state": "COMPLETED_PASS"}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return m
	}
	of := func(name, kind string) string { return with(state, fmt.Sprintf(`{"name":%q,"type":%s}`, name, kind)) }
	const noTime = `must be an RFC 3339 time such as 2026-11-01T06:00:29Z, is `
	for name, tc := range map[string]struct {
		schema string
		value  any
		want   string // the fault; empty: none
		got    func(d decision.Decision) bool
	}{
		"is_complete":            {with(`{"name":"is_complete","type":"boolean"}`), value("is_complete", true), "", func(d decision.Decision) bool { return d.State == decision.CompletedPass }},
		"is_complete false":      {with(`{"name":"is_complete","type":"boolean"}`), value("is_complete", false), "is_complete: false decides nothing; leave it out or give state", nil},
		"a union with null":      {`["null",` + with(state) + `]`, value(), "", func(d decision.Decision) bool { return d.State == decision.CompletedPass }},
		"null with a union":      {`[` + with(state) + `,"null"]`, value(), "", func(d decision.Decision) bool { return d.State == decision.CompletedPass }},
		"nothing in a union":     {`["null",` + with(state) + `]`, nil, "value: does not fit its schema (AVRO, ID 1): it is null", nil},
		"null":                   {of("id", `["null","string"]`), value("id", nil), "", func(d decision.Decision) bool { return !d.OwnID }},
		"a null that comes last": {of("id", `["string","null"]`), value("id", "x"), "", func(d decision.Decision) bool { return d.ID == "x" }},
		"nanoseconds":            {of("decided_at", `{"type":"long","logicalType":"timestamp-nanos"}`), value("decided_at", time.Unix(1, 2)), "", func(d decision.Decision) bool { return d.DecidedAt == "1970-01-01T00:00:01.000000002Z" }},
		"a time without a zone":  {of("decided_at", `["null",{"type":"long","logicalType":"local-timestamp-millis"}]`), value("decided_at", time.Unix(1, 0)), "decided_at: " + noTime + `"1970-01-01T00:00:01"`, nil},
		"a day":                  {of("expires_at", `{"type":"int","logicalType":"date"}`), value("expires_at", time.Unix(86400, 0)), "expires_at: " + noTime + `"1970-01-02T00:00:00"`, nil},
		"a year of five digits":  {of("decided_at", `{"type":"long","logicalType":"timestamp-millis"}`), value("decided_at", time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)), "decided_at: " + noTime + `"12026-01-01T00:00:00Z"`, nil},
		"a number for a time":    {of("decided_at", `"long"`), value("decided_at", int64(1793512829)), `decided_at: must be a string, is 1793512829`, nil},
		"bytes":                  {of("reason", `"bytes"`), value("reason", []byte("abc")), `reason: must be a string, is {"bytes":3}`, nil},
		"an array":               {of("reason", `{"type":"array","items":"string"}`), value("reason", []string{"a"}), `reason: must be a string, is {"array":1}`, nil},
		"a map":                  {of("reason", `{"type":"map","values":"string"}`), value("reason", map[string]any{"a": "b"}), `reason: must be a string, is {"record":1}`, nil},
		"a float":                {of("reason", `"double"`), value("reason", 1.5), `reason: must be a string, is {"float":1}`, nil},
		"a decimal":              {of("reason", `{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}`), value("reason", "1.5"), `reason: must be a string, is {"decimal":1}`, nil},
		"control characters":     {of("id", `"string"`), value("id", "a\r\nb"), `id: must be 1 to 128 printable characters, is "a\r\nb"`, nil},
		"names in another case":  {with(`{"name":"State","type":"string"}`), value("State", "COMPLETED_PASS"), "state: missing", nil},
		"an ID with a path":      {with(state), map[string]any{"profile_id": "../x", "task_id": taskID, "state": "PASS"}, `profile_id: must be 8-4-4-4-12 hexadecimal, is "../x"; state: must be COMPLETED_PASS or COMPLETED_FAIL, is "PASS"`, nil},
		"a fixed uuid": {
			strings.Replace(with(state), `"profile_id","type":"string"`, `"profile_id","type":{"type":"fixed","size":16,"name":"U","logicalType":"uuid"}`, 1),
			value(), "", func(d decision.Decision) bool { return d.Task.ProfileID == profileID },
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.seed(1, sr.TypeAvro, tc.schema)
				d, err := w.decoder.Decode(w.Context(), record(framed(1, encodeAvro(w, tc.schema, tc.value))))
				switch {
				case tc.want != "" && (err == nil || err.Error() != tc.want):
					w.Errorf("got  %v\nwant %s", err, tc.want)
				case tc.want == "" && (err != nil || !tc.got(d)):
					w.Errorf("got %+v, %v", d, err)
				}
			})
		})
	}
}

func TestAvroSchemasMayReferToOthers(t *testing.T) {
	inWorld(t, func(w *world) {
		const state = `{"type":"enum","name":"State","namespace":"com.example","symbols":["COMPLETED_PASS"]}`
		w.schemas.SeedSchema("state", 1, 90, sr.Schema{Schema: state})
		w.schemas.SeedSchema("wrapped", 1, 91, sr.Schema{
			Schema:     `{"type":"record","name":"Wrapped","namespace":"com.example","fields":[{"name":"s","type":"State"}]}`,
			References: []sr.SchemaReference{{Name: "com.example.State", Subject: "state", Version: 1}},
		})
		w.seed(
			1, sr.TypeAvro,
			`{"type":"record","name":"D","fields":[{"name":"w","type":"com.example.Wrapped"},{"name":"profile_id","type":"string"},{"name":"task_id","type":"string"},{"name":"state","type":"com.example.State"}]}`,
			sr.SchemaReference{Name: "com.example.Wrapped", Subject: "wrapped", Version: 1},
			sr.SchemaReference{Name: "com.example.State", Subject: "state", Version: 1},
		)
		value := append([]byte{0, 72}, profileID+"H"+taskID+"\x00"...)
		d, err := w.decoder.Decode(w.Context(), record(framed(1, value)))
		if err != nil || d.State != decision.CompletedPass || d.Task.TaskID != taskID {
			w.Errorf("got %+v, %v", d, err)
		}
		if n := w.asked.Load(); n != 3 {
			w.Errorf("asked %d times for 3 schemas", n)
		}
	})
}
