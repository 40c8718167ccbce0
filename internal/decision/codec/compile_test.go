package codec

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"reflect"
	"testing"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

// TestTaskFieldsArePassedOn checks that alias and type of the field task are passed
// on unchanged and other fields by name, so that package decision judges them as it
// does for JSON.
func TestTaskFieldsArePassedOn(t *testing.T) {
	const asAvro = `{"type":"record","name":"D","fields":[{"name":"task","type":["null",{"type":"record","name":"T","fields":[
		{"name":"alias","type":["null","string"]},{"name":"type","type":["null","string"]},{"name":"variant","type":["null","bytes"]}]}]}]}`
	const asProto = `syntax = "proto3"; message D { message T { string alias = 1; string type = 2; bytes variant = 3; } T task = 1; }`
	for _, tc := range []struct {
		avro  map[string]any
		proto string
		want  map[string]any
	}{
		{map[string]any{"alias": "identity"}, "\x00\x0a\x0a\x0a\x08identity", map[string]any{"alias": "identity"}},
		{map[string]any{"type": "T"}, "\x00\x0a\x03\x12\x01T", map[string]any{"type": "T"}},
		{map[string]any{"type": "T", "variant": []byte("v")}, "\x00\x0a\x06\x12\x01T\x1a\x01v", map[string]any{"type": "T", "variant": map[string]any{"unknown": 1.0}}},
		{map[string]any{}, "\x00\x0a\x00", map[string]any{}},
	} {
		given := map[string]any{"alias": nil, "type": nil, "variant": nil}
		maps.Copy(given, tc.avro)
		value, err := avro.MustParse(asAvro).Encode(map[string]any{"task": given})
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range []struct {
			schema sr.Schema
			value  []byte
		}{{sr.Schema{Schema: asAvro}, value}, {sr.Schema{Schema: asProto, Type: sr.TypeProtobuf}, []byte(tc.proto)}} {
			decode, err := compile(t.Context(), in.schema, nil)
			if err != nil {
				t.Fatal(err)
			}
			object, err := decode(in.value)
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]any
			if err := json.Unmarshal(object, &got); err != nil || !reflect.DeepEqual(got, map[string]any{"task": tc.want}) {
				t.Errorf("%s: got %s, %v; want %v", in.schema.Type, object, err, tc.want)
			}
		}
	}
}

// asDescriptor returns a schema as serializers register it that have no text of it.
func asDescriptor(t testing.TB, d *descriptorpb.FileDescriptorProto) sr.Schema {
	t.Helper()
	b, err := proto.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return sr.Schema{Schema: base64.StdEncoding.EncodeToString(b), Type: sr.TypeProtobuf}
}

// TestDescriptorsAreReadLikeText has a file and one that it imports as descriptors, and a
// message with an option that is encoded already.
func TestDescriptorsAreReadLikeText(t *testing.T) {
	file := func(text string) *descriptorpb.FileDescriptorProto {
		d := new(descriptorpb.FileDescriptorProto)
		if err := prototext.Unmarshal([]byte(`syntax: "proto3" `+text), d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	shared := asDescriptor(t, file(`name: "shared/state.proto" package: "s" enum_type { name: "State" value { name: "NONE" number: 0 } value { name: "COMPLETED_PASS" number: 1 } }`))
	d := file(`name: "decision.proto" dependency: "shared/state.proto" dependency: "google/type/money.proto" dependency: "confluent/meta.proto"
		message_type { name: "Envelope" nested_type { name: "D" options {}
			field { name: "state" number: 1 type: TYPE_ENUM type_name: ".s.State" label: LABEL_OPTIONAL }
			field { name: "fee" number: 2 type: TYPE_MESSAGE type_name: ".google.type.Money" label: LABEL_OPTIONAL } } }`)
	d.MessageType[0].NestedType[0].Options.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 1088, protowire.BytesType), "\x0a\x01d"))
	decode, err := compile(t.Context(), asDescriptor(t, d), []reference{{"shared/state.proto", shared.Schema}})
	if err != nil {
		t.Fatal(err)
	}
	if object, err := decode([]byte("\x04\x00\x00\x08\x01\x12\x02\x0a\x00")); string(object) != `{"state":"COMPLETED_PASS"}` {
		t.Errorf("got %s, %v", object, err)
	}
	if _, err := compile(t.Context(), sr.Schema{Schema: "AAAA", Type: sr.TypeProtobuf}, nil); err == nil {
		t.Error("what is no descriptor is accepted")
	}
}

func TestEveryBuiltinFileCompiles(t *testing.T) {
	for file := range builtins {
		s := sr.Schema{Schema: `syntax = "proto3"; import "` + file + `"; message M {}`, Type: sr.TypeProtobuf}
		if _, err := compile(t.Context(), s, nil); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}
