package codec_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"google.golang.org/protobuf/encoding/protowire"

	"verdict/internal/decision"
	"verdict/internal/decision/codec"
)

// full returns the decision that each format holds in these tests.
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

func TestDecodeReadsTheSameInEveryFormat(t *testing.T) {
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
			"JSON after an ID":                 {Value: framed(1, asJSON)},
			"Avro":                             {Value: framed(2, avroValue)},
			"Protobuf":                         {Value: protoValue},
			"structured CloudEvent":            {Value: structured, Headers: isEvent},
			"structured CloudEvent with Avro":  {Value: base64, Headers: isEvent},
			"binary CloudEvent with JSON":      {Value: asJSON, Headers: binary},
			"binary CloudEvent with Avro":      {Value: framed(2, avroValue), Headers: binary},
			"binary CloudEvent with a message": {Value: protoValue, Headers: binary},
			"JSON after a GUID":                w.inHeader(1, asJSON),
			"Avro after a GUID":                w.inHeader(2, avroValue),
			"Protobuf after a GUID":            w.inHeader(3, protoDecision(), 1, 1),
			"binary CloudEvent after a GUID":   {Value: avroValue, Headers: append(w.inHeader(2, nil).Headers, binary...)},
			"structured CloudEvent and a GUID": {Value: structured, Headers: append(w.inHeader(1, nil).Headers, isEvent...)},
			"JSON and a header that is no ID":  {Value: asJSON, Headers: []decision.Header{{Key: "__value_schema_id", Value: []byte("7")}}},
			"JSON and the key's GUID":          {Value: asJSON, Headers: []decision.Header{{Key: "__key_schema_id", Value: w.inHeader(2, nil).Headers[0].Value}}},
		} {
			if d, err := w.decoder.Decode(w.Context(), rec); err != nil || d != full() {
				w.Errorf("%s:\ngot  %+v, %v\nwant %+v", name, d, err, full())
			}
		}
		if n := w.asked.Load(); n != 8 {
			w.Errorf("the registry was asked %d times for 3 schemas and a reference, by ID and by GUID", n)
		}
	})
}

func TestDecodeSaysWhyAValueDoesNotFitItsSchema(t *testing.T) {
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
			"too short":                          {[]byte{0, 0, 0}, "value: begins with byte 0, but its 3 bytes are too few for the schema ID of a Schema Registry"},
			"an ID out of range":                 {framed(1<<31, nil), "value: schema ID 2147483648 is out of range"},
			"an unknown ID":                      {framed(999, nil), "value: schema ID 999 is not known to the Schema Registry"},
			"Avro, empty":                        {framed(1, nil), noFit + "(AVRO, ID 1): "},
			"Avro, cut":                          {framed(1, encodeAvro(w, avroRecord, fields)[:40]), noFit + "(AVRO, ID 1): "},
			"Avro, trailing bytes":               {framed(1, append(encodeAvro(w, avroRecord, fields), 0)), noFit + "(AVRO, ID 1): 1 bytes follow the record"},
			"Avro, not a record":                 {framed(3, []byte{2, 'a'}), `value: its schema (AVRO, ID 3) can't be used: must be a record, or a union of null and a record; is "string"`},
			"Avro, endless array":                {framed(6, append(protowire.AppendVarint(nil, 1<<62), 0, 0)), noFit + "(AVRO, ID 6): "},
			"Avro, too deep":                     {framed(6, []byte(strings.Repeat("\x00\x02", 20000)+"\x00\x00")), noFit + "(AVRO, ID 6): "},
			"Protobuf, no index":                 {framed(2, nil), noFit + "(PROTOBUF, ID 2): it does not say which message of the schema it is"},
			"Protobuf, endless index":            {framed(2, protowire.AppendVarint(nil, 1<<40)), noFit + "(PROTOBUF, ID 2): it does not say which message of the schema it is"},
			"Protobuf, no such message":          {framed(2, indexed(nil, 0, 3)), noFit + "(PROTOBUF, ID 2): the schema has no message [0 3]"},
			"Protobuf, negative index":           {framed(2, indexed(nil, -1)), noFit + "(PROTOBUF, ID 2): the schema has no message [-1]"},
			"Protobuf, too deep":                 {framed(2, indexed(deep, 0)), noFit + "(PROTOBUF, ID 2): proto: "},
			"Protobuf, invalid schema":           {framed(4, indexed(nil, 0)), "value: its schema (PROTOBUF, ID 4) can't be used: line 2:9: syntax error"},
			"Protobuf, missing import":           {framed(7, indexed(nil, 0)), "value: its schema (PROTOBUF, ID 7) can't be used: "},
			"Protobuf, a map's key in two types": {framed(8, indexed(encodeProto(1, encodeProto(1, "a", 1, 5)), 0)), noFit + "(PROTOBUF, ID 8): panic: "}, // of package proto, found by fuzzing
			"JSON, invalid":                      {framed(5, []byte("x")), "value: not valid JSON: invalid character 'x' looking for beginning of value"},
			"JSON, empty":                        {framed(5, nil), "value: empty; a decision is a JSON object"},
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

func TestDecodeKeepsToTheConfiguredFormat(t *testing.T) {
	const object = `{"profile_id":"` + profileID + `","task_id":"` + taskID + `","state":"COMPLETED_PASS"}`
	isEvent := []decision.Header{{Key: "ce_id", Value: []byte("x")}}
	guid := func(b byte) []decision.Header {
		return []decision.Header{{Key: "__value_schema_id", Value: append([]byte{1}, bytes.Repeat([]byte{b}, 16)...)}}
	}
	for name, tc := range map[string]struct {
		format decision.Format
		rec    decision.Record
		want   string
	}{
		"json: headers are ignored":               {decision.FormatJSON, decision.Record{Value: []byte(object), Headers: isEvent}, ""},
		"json: after an ID":                       {decision.FormatJSON, decision.Record{Value: framed(1, []byte(object))}, ""},
		"json: Avro":                              {decision.FormatJSON, decision.Record{Value: framed(2, nil)}, "value: its schema (ID 2) is AVRO, but decode.format is json"},
		"cloudevents: without headers":            {decision.FormatCloudEvents, decision.Record{Value: []byte(`{"specversion":"1.0","id":"x","source":"s","type":"t","data":` + object + `}`)}, ""},
		"cloudevents: a decision":                 {decision.FormatCloudEvents, decision.Record{Value: []byte(object)}, "cloudevent.specversion: missing; cloudevent.id: missing; cloudevent.source: missing; cloudevent.type: missing; cloudevent.data: missing; the decision goes there"},
		"avro: JSON":                              {decision.FormatAvro, decision.Record{Value: []byte(object)}, "value: begins with byte 123, not with the 0 and the schema ID of a Schema Registry"},
		"avro: Protobuf":                          {decision.FormatAvro, decision.Record{Value: framed(3, indexed(nil, 0))}, "value: its schema (ID 3) is PROTOBUF, but decode.format is avro"},
		"avro: empty":                             {decision.FormatAvro, decision.Record{}, "value: empty; a decision is a JSON object"},
		"protobuf: Avro":                          {decision.FormatProtobuf, decision.Record{Value: framed(2, nil)}, "value: its schema (ID 2) is AVRO, but decode.format is protobuf"},
		"json: a GUID":                            {decision.FormatJSON, decision.Record{Value: []byte(object), Headers: guid(2)}, ""},
		"protobuf: a GUID of Avro":                {decision.FormatProtobuf, decision.Record{Headers: guid(2)}, "value: its schema (GUID 02020202-0202-0202-0202-020202020202) is AVRO, but decode.format is protobuf"},
		"auto: an unknown GUID":                   {decision.FormatAuto, decision.Record{Value: []byte(object), Headers: guid(3)}, "value: schema GUID 03030303-0303-0303-0303-030303030303 is not known to the Schema Registry"},
		"avro: a GUID that is cut":                {decision.FormatAvro, decision.Record{Value: append([]byte{1}, object[:15]...)}, "value: begins with byte 1, but its 16 bytes are too few for the schema ID of a Schema Registry"},
		"auto: an event with a frame that is cut": {decision.FormatAuto, decision.Record{Value: []byte{0, 1}, Headers: isEvent}, "cloudevent.specversion: missing; cloudevent.source: missing; cloudevent.type: missing; value: begins with byte 0, but its 2 bytes are too few for the schema ID of a Schema Registry"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.seed(1, sr.TypeJSON, `{}`)
				w.seed(2, sr.TypeAvro, avroRecord)
				w.seed(3, sr.TypeProtobuf, `syntax = "proto3"; message M {}`)
				w.answerWith(func(rw http.ResponseWriter, req *http.Request) {
					if strings.HasPrefix(req.URL.Path, "/schemas/guids/02") {
						req.URL.Path = "/schemas/ids/2"
					}
					w.schemas.Handler().ServeHTTP(rw, req)
				})
				_, err := w.decoder.Decode(w.Context(), &tc.rec)
				if plain(err) != tc.want {
					w.Errorf("got  %v\nwant %s", err, tc.want)
				}
			}, func(o *codec.Options) { o.Format = tc.format })
		})
	}
}

func TestDecodeWithoutARegistryNamesTheMissingKey(t *testing.T) {
	d, err := codec.New(codec.Options{Format: decision.FormatAuto, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	_, err = d.Decode(t.Context(), record(framed(42, []byte("x"))))
	if want := "value: is in the format of a Schema Registry (schema ID 42), but decode.registry_url is not set"; plain(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestNewNamesTheFaultAndNoPassword(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for _, opts := range []codec.Options{
		{}, {Logger: log}, {Logger: log, Format: "xml"}, {Format: decision.FormatAuto}, {Logger: log, Format: decision.FormatAvro},
		{Logger: log, Format: decision.FormatAuto, RegistryURL: "http://me:" + password + "@host/%zz"},
		{Logger: log, Format: decision.FormatAuto, RegistryURL: password},
	} {
		if _, err := codec.New(opts); err == nil || strings.Contains(err.Error(), password) {
			t.Errorf("%+v: %v", opts, err)
		}
	}
}
