package codec

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"runtime"
	"strings"
	"testing"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/known/durationpb"

	"verdict/internal/decision"
)

// The schemas of the hostile values: every type, nested in itself.
const (
	fuzzAvro = `{"type":"record","name":"D","fields":[
		{"name":"profile_id","type":["null",{"type":"fixed","name":"U","size":16,"logicalType":"uuid"},"string"]},
		{"name":"task_id","type":"string"},
		{"name":"state","type":{"type":"enum","name":"S","symbols":["COMPLETED_PASS","COMPLETED_FAIL"]}},
		{"name":"is_complete","type":["null","boolean"]},
		{"name":"decided_at","type":[{"type":"long","logicalType":"timestamp-millis"},{"type":"int","logicalType":"date"},"float"]},
		{"name":"expires_at","type":["null",{"type":"long","logicalType":"local-timestamp-nanos"}]},
		{"name":"source","type":["null",{"type":"map","values":"null"},{"type":"bytes","logicalType":"decimal","precision":4}]},
		{"name":"reason","type":["null",{"type":"array","items":"null"},"D"]},
		{"name":"task","type":["null",{"type":"record","name":"T","fields":[{"name":"alias","type":["null","string","D"]}]}]}]}`
	fuzzProto = `syntax = "proto3";
		import "google/protobuf/timestamp.proto"; import "google/protobuf/wrappers.proto"; import "google/protobuf/any.proto";
		enum S { NONE = 0; COMPLETED_PASS = 1; }
		message D {
			message T { string alias = 1; D type = 2; message Inner { string id = 1; } }
			string profile_id = 1; string task_id = 2; S state = 3; google.protobuf.BoolValue is_complete = 4;
			google.protobuf.Timestamp decided_at = 5; google.protobuf.StringValue expires_at = 6; map<string, D> source = 7;
			repeated D reason = 8; T task = 9; google.protobuf.Any batch_id = 10; double id = 11; D deeper = 12;
		}`
)

const fuzzProfile, fuzzTask = "ea70ade9-3de3-1785-203b-68044cd3ecbb", "a2c4393a-e219-67a4-5ab4-2186952e9038"

// fuzzDecoder returns a Decoder that knows a schema of each kind, with the IDs 1, 2
// and 3, and has no registry to ask for others.
func fuzzDecoder(f *testing.F) *Decoder {
	f.Helper()
	d, err := New(Options{Format: decision.FormatAuto, RegistryURL: "http://localhost:1", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	for i, s := range []sr.Schema{{Schema: `{}`, Type: sr.TypeJSON}, {Schema: fuzzAvro}, {Schema: fuzzProto, Type: sr.TypeProtobuf}} {
		decode, err := compile(f.Context(), s, nil)
		if err != nil {
			f.Fatal(err)
		}
		d.schemas.slotOf(schemaID{number: uint32(i + 1)}).known.Store(&schema{kind: s.Type, decode: decode})
	}
	return d
}

// checkDecoded checks what is promised of any value, hostile or not: one error type
// of bounded length, no panic in a library, and valid IDs.
func checkDecoded(t *testing.T, d decision.Decision, err error) {
	t.Helper()
	if err == nil {
		if !decision.ValidID(d.Task.ProfileID) || d.Task.TaskID != "" && !decision.ValidID(d.Task.TaskID) || !decision.ValidDecisionID(d.ID) {
			t.Errorf("accepted although it can't be carried out: %+v", d)
		}
		return
	}
	// One panic is known and recovered: package proto panics if the key of a map comes
	// twice, the second time as another wire type.
	panics := strings.Contains(strings.Replace(err.Error(), "panic: type mismatch: cannot convert nil to map key", "", 1), "panic: ")
	invalid, ok := errors.AsType[*decision.Invalid](err)
	if !ok || len(invalid.Faults) == 0 || len(err.Error()) > 4096 || panics {
		t.Errorf("%d bytes: %v", len(err.Error()), err)
	}
}

// FuzzFrame checks that no frame makes decoding panic or wait.
func FuzzFrame(f *testing.F) {
	d := fuzzDecoder(f)
	object := `{"profile_id":"` + fuzzProfile + `","task_id":"` + fuzzTask + `","is_complete":true}`
	f.Add([]byte(object), "")
	f.Add([]byte{0}, "")
	f.Add([]byte("\x00\x00\x00\x00\x01"+object), "application/cloudevents+json")
	f.Add([]byte("\x00\x00\x00\x00\x02H"+object), "application/json")
	f.Add([]byte("\x00\x00\x00\x00\x03\x04\x00\x00\x0a\x24"+fuzzProfile), "")
	f.Add([]byte("\x00\xff\xff\xff\xff\x01"), "")
	f.Add([]byte(`{"specversion":"1.0","id":"a","source":"s","type":"t","data_base64":"AAAAAAF7fQ=="}`), "application/cloudevents+json")
	slots := d.schemas.slots
	over, cancel := context.WithCancel(f.Context())
	cancel() // fetching a schema is given up at once
	f.Fuzz(func(t *testing.T, value []byte, media string) {
		rec := &decision.Record{Topic: "t", Value: value, Headers: []decision.Header{{Key: "content-type", Value: []byte(media)}}}
		for _, format := range []decision.Format{decision.FormatAuto, decision.FormatJSON, decision.FormatCloudEvents, decision.FormatAvro, decision.FormatProtobuf} {
			decided, err := (&Decoder{format: format}).Decode(over, rec)
			checkDecoded(t, decided, err)
			d.format, d.schemas.slots = format, maps.Clone(slots)
			if decided, err = d.Decode(over, rec); err != context.Canceled {
				checkDecoded(t, decided, err)
			}
		}
	})
}

// fuzzValues checks values after a known schema ID, and that decoding them takes
// bounded memory: a record is at most 64 KiB.
func fuzzValues(f *testing.F, id byte) {
	d := fuzzDecoder(f)
	f.Fuzz(func(t *testing.T, value []byte) {
		rec := &decision.Record{Topic: "t", Value: append([]byte{0, 0, 0, 0, id}, value...)}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		decided, err := d.Decode(t.Context(), rec)
		runtime.ReadMemStats(&after)
		checkDecoded(t, decided, err)
		if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 {
			t.Errorf("%d bytes took %d MiB to decode", len(value), took>>20)
		}
	})
}

func FuzzAvro(f *testing.F) {
	addAvro(f)
	fuzzValues(f, 2)
}

// addAvro adds values of fuzzAvro.
func addAvro(f *testing.F) {
	f.Helper()
	u := "\x04H" + fuzzProfile + "H" + fuzzTask
	f.Add([]byte(u + "\x00\x00\x00\x02\x00\x00\x00\x00"))
	f.Add([]byte("\x02" + strings.Repeat("\x01", 16) + "H" + fuzzTask + "\x02\x02\x01\x02\x02\x02\x00\x00\x00"))
	f.Add([]byte(u + "\x00\x00\x00\x02\x00\x00\x02\xfe\xff\xff\xff\xff\xff\xff\xff\x7f\x00\x00")) // an endless array of nulls
	f.Add([]byte(u + "\x00\x00\x04\x00\x00\x00\xc0\x7f\x02\xff\xff\xff\xff\x0f"))                 // NaN, and bytes of a negative length
	f.Add([]byte(u + "\x00\x00\x00\x02\x00\x00\x04" + u + "\x00\x00\x00\x02\x00\x00\x00\x00\x02\x04" + u))
}

// FuzzAvroWalk checks that a value that can be decoded is walked to its end.
func FuzzAvroWalk(f *testing.F) {
	addAvro(f)
	schema, types := avro.MustParse(fuzzAvro), make(avroTypes)
	top := schema.Root()
	types.add(top)
	f.Fuzz(func(t *testing.T, value []byte) {
		var v any
		rest, err := schema.Decode(value, &v)
		if walk := types.walk(top, value); err == nil && walk.left >= 0 && (walk.unfit || len(walk.value) != len(rest)) {
			t.Errorf("%d bytes are left instead of %d; unfit: %t", len(walk.value), len(rest), walk.unfit)
		}
	})
}

func FuzzProtobuf(f *testing.F) {
	ids := "\x0a\x24" + fuzzProfile + "\x12\x24" + fuzzTask
	f.Add([]byte("\x00" + ids + "\x18\x01"))
	f.Add([]byte("\x02\x00" + ids + "\x22\x02\x08\x01\x2a\x06\x08\x80\x80\x80\x80\x10"))
	f.Add([]byte("\x04\x00\x00" + ids + "\x4a\x04\x0a\x02id"))
	f.Add([]byte("\x00" + ids + "\x59\x00\x00\x00\x00\x00\x00\xf8\x7f\x42\x00\x42\x00\x3a\x02\x0a\x00\x52\x02\x0a\x00"))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Add([]byte("\x00\x62\x02\x62\x00\x63\x64"))
	fuzzValues(f, 3)
}

// FuzzSchema checks that no small schema makes compile panic or take long, and that
// the result accepts any value without a panic.
func FuzzSchema(f *testing.F) {
	f.Add(fuzzAvro, false, []byte{0, 0})
	f.Add(fuzzProto, true, []byte{0, 0})
	f.Add(`{"type":"record","name":"R","fields":[{"name":"id","type":["null","R"]}]}`, false, []byte("\x02\x02\x02\x00"))
	f.Add(`{"type":"record","name":"R","fields":[{"name":"id","type":{"type":"fixed","name":"F","size":9999999999}}]}`, false, []byte{})
	f.Add(`syntax = "proto2"; message M { required string id = 1; extensions 100 to max; optional group G = 2 {} }`, true, []byte{0, 0x13, 0x14})
	f.Add(asDescriptor(f, protodesc.ToFileDescriptorProto(durationpb.File_google_protobuf_duration_proto)).Schema, true, []byte{0, 8, 1})
	f.Add(`edition = "2023"; message M { string id = 1 [features.utf8_validation = NONE]; }`, true, []byte{0, 0x0a, 1, 0xff})
	f.Fuzz(func(t *testing.T, text string, proto bool, value []byte) {
		if len(text) > 4<<10 {
			return
		}
		s := sr.Schema{Schema: text}
		if proto {
			s.Type = sr.TypeProtobuf
		}
		decode, err := compile(t.Context(), s, nil)
		if err != nil {
			return
		}
		object, err := decode(value)
		if err != nil {
			return
		}
		decided, err := decision.DecodeValue(&decision.Record{Topic: "t"}, nil, object)
		checkDecoded(t, decided, err)
		if err != nil && strings.Contains(err.Error(), "not valid JSON") {
			t.Errorf("produced invalid JSON: %s", object)
		}
	})
}
