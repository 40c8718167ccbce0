package codec_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
	"google.golang.org/protobuf/encoding/protowire"

	"verdict/internal/decision"
	"verdict/internal/decision/codec"
)

// full is the decision that each of the formats says in these tests.
func full() decision.Decision {
	return decision.Decision{
		ID: "dec-1", OwnID: true,
		Task:      decision.Task{ProfileID: profileID, TaskID: taskID},
		State:     decision.CompletedFail,
		DecidedAt: "2026-11-01T06:00:29.5Z", ExpiresAt: time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC),
		Source: "kyc-decider", Reason: "Überprüfung \"ok\"\n", BatchID: "autumn",
	}
}

var fields = map[string]any{
	"id": "dec-1", "profile_id": profileID, "task_id": taskID, "state": "COMPLETED_FAIL",
	"decided_at": time.Date(2026, 11, 1, 6, 0, 29, 500_000_000, time.UTC),
	"expires_at": time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC),
	"source":     "kyc-decider", "reason": "Überprüfung \"ok\"\n", "batch_id": "autumn",
	"score": 0.5, "tags": []string{"a"}, "raw": []byte{0, 1},
}

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

const protoFile = `syntax = "proto3";
package com.example;
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "shared/state.proto";
message Other { string id = 1; }
message Envelope {
  message Padding {}
  message Decision {
    string id = 1;
    string profile_id = 2;
    string taskId = 3;
    com.example.shared.State state = 4;
    google.protobuf.Timestamp decided_at = 5;
    string expires_at = 6;
    google.protobuf.StringValue source = 7;
    optional string reason = 8;
    string batch = 9 [json_name = "batch_id"];
    repeated string tags = 10;
    bool is_complete = 11;
  }
}`

const protoState = `syntax = "proto3";
package com.example.shared;
enum State { UNDECIDED = 0; COMPLETED_PASS = 1; COMPLETED_FAIL = 2; }`

// encodeProto writes fields by their number: texts, numbers, and messages.
func encodeProto(pairs ...any) (b []byte) {
	for i := 0; i < len(pairs); i += 2 {
		number := protowire.Number(pairs[i].(int))
		switch v := pairs[i+1].(type) {
		case string:
			b = protowire.AppendTag(b, number, protowire.BytesType)
			b = protowire.AppendString(b, v)
		case []byte:
			b = protowire.AppendTag(b, number, protowire.BytesType)
			b = protowire.AppendBytes(b, v)
		case int:
			b = protowire.AppendTag(b, number, protowire.VarintType)
			b = protowire.AppendVarint(b, uint64(v))
		}
	}
	return b
}

// indexed is a Protobuf value that says which message of its schema it is.
func indexed(value []byte, indexes ...int) []byte {
	b, err := new(sr.ConfluentHeader).AppendEncode(nil, 0, indexes)
	if err != nil {
		panic(err)
	}
	return append(b[5:], value...)
}

func protoDecision() []byte {
	return encodeProto(1, "dec-1", 2, profileID, 3, taskID, 4, 2, 5, encodeProto(1, 1793512829, 2, 500_000_000),
		6, "2026-11-02T00:00:00Z", 7, encodeProto(1, "kyc-decider"), 8, "Überprüfung \"ok\"\n", 9, "autumn", 10, "a", 10, "b")
}

func TestOneDecisionIsTheSameInEveryFormat(t *testing.T) {
	inWorld(t, func(w *world) {
		w.seed(1, sr.TypeJSON, `{"type":"object"}`)
		w.seed(2, sr.TypeAvro, avroRecord)
		w.schemas.SeedSchema("state", 7, 90, sr.Schema{Schema: protoState, Type: sr.TypeProtobuf})
		w.seed(3, sr.TypeProtobuf, protoFile, sr.SchemaReference{Name: "shared/state.proto", Subject: "state", Version: 7})
		asJSON, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		avroValue := encodeAvro(w, avroRecord, fields)
		protoValue := framed(3, indexed(protoDecision(), 1, 1))
		event := map[string]any{"specversion": "1.0", "id": "x", "source": "/s", "type": "t", "data": json.RawMessage(asJSON)}
		structured, _ := json.Marshal(event)
		delete(event, "data")
		event["data_base64"] = framed(2, avroValue)
		base64, _ := json.Marshal(event)
		isEvent := []decision.Header{{Key: "content-type", Value: []byte("application/cloudevents+json")}}
		binary := []decision.Header{
			{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_id", Value: []byte("x")},
			{Key: "ce_source", Value: []byte("/s")}, {Key: "ce_type", Value: []byte("t")}, {Key: "content-type", Value: []byte("application/avro")},
		}
		for name, rec := range map[string]*decision.Record{
			"JSON":                             {Value: asJSON},
			"JSON behind an ID":                {Value: framed(1, asJSON)},
			"Avro":                             {Value: framed(2, avroValue)},
			"Protobuf":                         {Value: protoValue},
			"structured CloudEvent":            {Value: structured, Headers: isEvent},
			"structured CloudEvent with Avro":  {Value: base64, Headers: isEvent},
			"binary CloudEvent with JSON":      {Value: asJSON, Headers: binary},
			"binary CloudEvent with Avro":      {Value: framed(2, avroValue), Headers: binary},
			"binary CloudEvent with a message": {Value: protoValue, Headers: binary},
		} {
			if d, err := w.decoder.Decode(w.Context(), rec); err != nil || d != full() {
				w.Errorf("%s:\ngot  %+v, %v\nwant %+v", name, d, err, full())
			}
		}
		if n := w.asked.Load(); n != 4 {
			w.Errorf("the registry was asked %d times for 3 schemas and a reference", n)
		}
	})
}

func TestAvroTypesBecomeWhatTheDecisionReads(t *testing.T) {
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
		"null":                   {of("id", `["null","string"]`), value("id", nil), "", func(d decision.Decision) bool { return !d.OwnID }},
		"a null that comes last": {of("id", `["string","null"]`), value("id", "x"), "", func(d decision.Decision) bool { return d.ID == "x" }},
		"nanoseconds":            {of("decided_at", `{"type":"long","logicalType":"timestamp-nanos"}`), value("decided_at", time.Unix(1, 2)), "", func(d decision.Decision) bool { return d.DecidedAt == "1970-01-01T00:00:01.000000002Z" }},
		"a time of nowhere":      {of("decided_at", `["null",{"type":"long","logicalType":"local-timestamp-millis"}]`), value("decided_at", time.Unix(1, 0)), "decided_at: " + noTime + `"1970-01-01T00:00:01"`, nil},
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
		"an ID that climbs":      {with(state), map[string]any{"profile_id": "../x", "task_id": taskID, "state": "PASS"}, `profile_id: must be 8-4-4-4-12 hexadecimal, is "../x"; state: must be COMPLETED_PASS or COMPLETED_FAIL, is "PASS"`, nil},
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

func TestAvroSchemasAreMadeOfOthers(t *testing.T) {
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

func TestProtobufTypesBecomeWhatTheDecisionReads(t *testing.T) {
	const head = `syntax = "proto3"; import "google/protobuf/timestamp.proto"; import "google/protobuf/wrappers.proto"; import "google/protobuf/struct.proto";
		enum S { NONE = 0; COMPLETED_PASS = 1; } message M { string profile_id = 1; string task_id = 2; `
	required := encodeProto(1, profileID, 2, taskID)
	for name, tc := range map[string]struct {
		more  string
		value []byte
		want  string
	}{
		"enum by name":              {`S state = 3;`, encodeProto(3, 1), ""},
		"enum of no name":           {`S state = 3;`, encodeProto(3, 9), `state: must be a string, is 9`},
		"zero is not given":         {`S state = 3;`, encodeProto(3, 0), "state: missing"},
		"zero with presence":        {`optional S state = 3;`, encodeProto(3, 0), `state: must be COMPLETED_PASS or COMPLETED_FAIL, is "NONE"`},
		"is_complete":               {`bool is_complete = 3;`, encodeProto(3, 1), ""},
		"JSON name":                 {`bool isComplete = 3;`, encodeProto(3, 1), ""},
		"wrapped flag":              {`google.protobuf.BoolValue is_complete = 3;`, encodeProto(3, encodeProto(1, 1)), ""},
		"wrapped flag, false":       {`google.protobuf.BoolValue is_complete = 3;`, encodeProto(3, ""), "is_complete: false decides nothing; leave it out or give state"},
		"a time beyond all":         {`bool is_complete = 3; google.protobuf.Timestamp decided_at = 4;`, encodeProto(3, 1, 4, encodeProto(1, 1<<62)), `decided_at: must be a string, is {"google.protobuf.Timestamp":1}`},
		"a number for a time":       {`bool is_complete = 3; int64 decided_at = 4;`, encodeProto(3, 1, 4, 5), `decided_at: must be a string, is 5`},
		"bytes":                     {`bool is_complete = 3; bytes reason = 4;`, encodeProto(3, 1, 4, "abc"), `reason: must be a string, is {"bytes":3}`},
		"repeated":                  {`bool is_complete = 3; repeated string reason = 4;`, encodeProto(3, 1, 4, "abc"), `reason: must be a string, is {"repeated":1}`},
		"map":                       {`bool is_complete = 3; map<string,string> reason = 4;`, encodeProto(3, 1, 4, encodeProto(1, "a")), `reason: must be a string, is {"map":1}`},
		"message":                   {`bool is_complete = 3; google.protobuf.Struct reason = 4;`, encodeProto(3, 1, 4, ""), `reason: must be a string, is {"google.protobuf.Struct":1}`},
		"invalid UTF-8":             {`bool is_complete = 3; string reason = 4;`, encodeProto(3, 1, 4, "\xff"), `value: does not fit its schema (PROTOBUF, ID 1): proto: field M.reason contains invalid UTF-8`},
		"two names of one field":    {`bool is_complete = 3; bool b = 4 [json_name = "is_complete"];`, encodeProto(3, 1, 4, 1), "is_complete: given twice"},
		"cut off":                   {`bool is_complete = 3;`, []byte{0x1a, 0x7f}, `value: does not fit its schema (PROTOBUF, ID 1): proto: cannot parse invalid wire-format data`},
		"unknown fields are let by": {`bool is_complete = 3;`, encodeProto(3, 1, 900, "x"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.seed(1, sr.TypeProtobuf, head+tc.more+"}")
				_, err := w.decoder.Decode(w.Context(), record(framed(1, indexed(append(slices.Clip(required), tc.value...), 0))))
				if text := plain(err); text != tc.want {
					w.Errorf("got  %s\nwant %s", text, tc.want)
				}
			})
		})
	}
}

// plain is an error's text; package proto writes another space in some builds, so
// that nobody relies on its texts.
func plain(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\u00a0", " ")
}

func TestValuesThatFitNoSchemaAreRefusedWithTheReason(t *testing.T) {
	inWorld(t, func(w *world) {
		w.seed(1, sr.TypeAvro, avroRecord)
		w.seed(2, sr.TypeProtobuf, `syntax = "proto3"; message M { string id = 1; M m = 2; }`)
		w.seed(3, sr.TypeAvro, `"string"`)
		w.seed(4, sr.TypeProtobuf, "syntax = \"proto3\";\nmessage {")
		w.seed(5, sr.TypeJSON, `{}`)
		w.seed(6, sr.TypeAvro, `{"type":"record","name":"R","fields":[{"name":"n","type":{"type":"array","items":"null"}},{"name":"next","type":["null","R"]}]}`)
		w.seed(7, sr.TypeProtobuf, `syntax = "proto3"; import "gone.proto"; message M {}`)
		w.seed(8, sr.TypeProtobuf, `syntax = "proto3"; message M { map<string, M> x = 1; }`)
		var deep []byte
		for range 200 {
			deep = encodeProto(2, deep)
		}
		const noFit = "value: does not fit its schema "
		for name, tc := range map[string]struct {
			value []byte
			want  string
		}{
			"too short":                          {[]byte{0, 0, 0}, "value: begins with byte 0, and its 3 bytes are too few for the schema ID of a Schema Registry"},
			"an ID that can be none":             {framed(1<<31, nil), "value: schema ID 2147483648 can be none"},
			"an ID nobody knows":                 {framed(999, nil), "value: schema ID 999 is not known to the Schema Registry"},
			"Avro, empty":                        {framed(1, nil), noFit + "(AVRO, ID 1): "},
			"Avro, cut":                          {framed(1, encodeAvro(w, avroRecord, fields)[:40]), noFit + "(AVRO, ID 1): "},
			"Avro, and more":                     {framed(1, append(encodeAvro(w, avroRecord, fields), 0)), noFit + "(AVRO, ID 1): 1 bytes are left behind it"},
			"Avro, no record":                    {framed(3, []byte{2, 'a'}), `value: its schema (AVRO, ID 3) can't be used: it is no record, it is "string"`},
			"Avro, endless nothing":              {framed(6, append(protowire.AppendVarint(nil, 1<<62), 0, 0)), noFit + "(AVRO, ID 6): "},
			"Avro, too deep":                     {framed(6, []byte(strings.Repeat("\x00\x02", 20000)+"\x00\x00")), noFit + "(AVRO, ID 6): "},
			"Protobuf, no index":                 {framed(2, nil), noFit + "(PROTOBUF, ID 2): it does not say which message of the schema it is"},
			"Protobuf, endless index":            {framed(2, protowire.AppendVarint(nil, 1<<40)), noFit + "(PROTOBUF, ID 2): it does not say which message of the schema it is"},
			"Protobuf, no such":                  {framed(2, indexed(nil, 0, 3)), noFit + "(PROTOBUF, ID 2): it is message [0 3] of the schema, which has no such message"},
			"Protobuf, negative":                 {framed(2, indexed(nil, -1)), noFit + "(PROTOBUF, ID 2): it is message [-1] of the schema, which has no such message"},
			"Protobuf, too deep":                 {framed(2, indexed(deep, 0)), noFit + "(PROTOBUF, ID 2): proto: "},
			"Protobuf, no schema":                {framed(4, indexed(nil, 0)), "value: its schema (PROTOBUF, ID 4) can't be used: line 2:9: syntax error"},
			"Protobuf, no import":                {framed(7, indexed(nil, 0)), "value: its schema (PROTOBUF, ID 7) can't be used: "},
			"Protobuf, a map's key in two types": {framed(8, indexed(encodeProto(1, encodeProto(1, "a", 1, 5)), 0)), noFit + "(PROTOBUF, ID 8): panic: "}, // of package proto, found by fuzzing
			"JSON, none":                         {framed(5, []byte("x")), "value: not valid JSON: invalid character 'x' looking for beginning of value"},
			"JSON, nothing":                      {framed(5, nil), "value: empty; a decision is a JSON object"},
			"too large":                          {framed(1, make([]byte, decision.MaxRecordSize)), "value: the record has 65541 bytes; the limit is 65536"},
		} {
			_, err := w.decoder.Decode(w.Context(), record(tc.value))
			_, ok := errors.AsType[*decision.Invalid](err)
			if !ok || !strings.HasPrefix(plain(err), tc.want) || len(err.Error()) > 500 {
				w.Errorf("%s:\ngot  %v\nwant %s", name, err, tc.want)
			}
		}
	})
}

func TestTheFormatCanBeForced(t *testing.T) {
	const object = `{"profile_id":"` + profileID + `","task_id":"` + taskID + `","state":"COMPLETED_PASS"}`
	isEvent := []decision.Header{{Key: "ce_id", Value: []byte("x")}}
	for name, tc := range map[string]struct {
		format decision.Format
		rec    decision.Record
		want   string
	}{
		"json: headers are not looked at":         {decision.FormatJSON, decision.Record{Value: []byte(object), Headers: isEvent}, ""},
		"json: behind an ID":                      {decision.FormatJSON, decision.Record{Value: framed(1, []byte(object))}, ""},
		"json: Avro":                              {decision.FormatJSON, decision.Record{Value: framed(2, nil)}, "value: is AVRO by its schema (ID 2), and decode.format is json"},
		"cloudevents: without headers":            {decision.FormatCloudEvents, decision.Record{Value: []byte(`{"specversion":"1.0","id":"x","source":"s","type":"t","data":` + object + `}`)}, ""},
		"cloudevents: a decision":                 {decision.FormatCloudEvents, decision.Record{Value: []byte(object)}, "cloudevent.specversion: missing; cloudevent.id: missing; cloudevent.source: missing; cloudevent.type: missing; cloudevent.data: missing; the decision goes there"},
		"avro: JSON":                              {decision.FormatAvro, decision.Record{Value: []byte(object)}, "value: begins with byte 123, not with the 0 and the schema ID of a Schema Registry"},
		"avro: Protobuf":                          {decision.FormatAvro, decision.Record{Value: framed(3, indexed(nil, 0))}, "value: is PROTOBUF by its schema (ID 3), and decode.format is avro"},
		"avro: nothing":                           {decision.FormatAvro, decision.Record{}, "value: empty; a decision is a JSON object"},
		"protobuf: Avro":                          {decision.FormatProtobuf, decision.Record{Value: framed(2, nil)}, "value: is AVRO by its schema (ID 2), and decode.format is protobuf"},
		"auto: an event with a frame that is cut": {decision.FormatAuto, decision.Record{Value: []byte{0, 1}, Headers: isEvent}, "cloudevent.specversion: missing; cloudevent.source: missing; cloudevent.type: missing; value: begins with byte 0, and its 2 bytes are too few for the schema ID of a Schema Registry"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.seed(1, sr.TypeJSON, `{}`)
				w.seed(2, sr.TypeAvro, avroRecord)
				w.seed(3, sr.TypeProtobuf, `syntax = "proto3"; message M {}`)
				_, err := w.decoder.Decode(w.Context(), &tc.rec)
				if plain(err) != tc.want {
					w.Errorf("got  %v\nwant %s", err, tc.want)
				}
			}, func(o *codec.Options) { o.Format = tc.format })
		})
	}
}

func TestWithoutARegistryAFramedValueIsRefusedWithAHint(t *testing.T) {
	d, err := codec.New(codec.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	_, err = d.Decode(t.Context(), record(framed(42, []byte("x"))))
	if want := "value: is in the format of a Schema Registry (schema ID 42), and decode.registry_url is not set"; plain(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestOptionsNameWhatIsWrongAndNoPassword(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for _, opts := range []codec.Options{
		{}, {Logger: log, Format: "xml"}, {Logger: log, Format: decision.FormatAvro},
		{Logger: log, RegistryURL: "http://me:" + password + "@host/%zz"}, {Logger: log, RegistryURL: password},
	} {
		if _, err := codec.New(opts); err == nil || strings.Contains(err.Error(), password) {
			t.Errorf("%+v: %v", opts, err)
		}
	}
}
