package codec

import (
	"encoding/json"
	"maps"
	"reflect"
	"testing"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
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
