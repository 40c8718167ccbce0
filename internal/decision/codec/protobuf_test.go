package codec_test

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
	"google.golang.org/protobuf/encoding/protowire"
)

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

// encodeProto writes fields by their number: strings, numbers and messages.
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

// indexed returns a Protobuf value with the indexes of its message in the schema.
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

func TestProtobufTypesBecomeDecisionFields(t *testing.T) {
	const head = `syntax = "proto3"; import "google/protobuf/timestamp.proto"; import "google/protobuf/wrappers.proto"; import "google/protobuf/struct.proto";
		enum S { NONE = 0; COMPLETED_PASS = 1; } message M { string profile_id = 1; string task_id = 2; `
	required := encodeProto(1, profileID, 2, taskID)
	for name, tc := range map[string]struct {
		more  string
		value []byte
		want  string
	}{
		"enum by name":               {`S state = 3;`, encodeProto(3, 1), ""},
		"enum without a name":        {`S state = 3;`, encodeProto(3, 9), `state: must be a string, is 9`},
		"zero is not given":          {`S state = 3;`, encodeProto(3, 0), "state: missing"},
		"zero with presence":         {`optional S state = 3;`, encodeProto(3, 0), `state: must be COMPLETED_PASS or COMPLETED_FAIL, is "NONE"`},
		"is_complete":                {`bool is_complete = 3;`, encodeProto(3, 1), ""},
		"JSON name":                  {`bool isComplete = 3;`, encodeProto(3, 1), ""},
		"wrapped flag":               {`google.protobuf.BoolValue is_complete = 3;`, encodeProto(3, encodeProto(1, 1)), ""},
		"wrapped flag, false":        {`google.protobuf.BoolValue is_complete = 3;`, encodeProto(3, ""), "is_complete: false decides nothing; leave it out or give state"},
		"a time out of range":        {`bool is_complete = 3; google.protobuf.Timestamp decided_at = 4;`, encodeProto(3, 1, 4, encodeProto(1, 1<<62)), `decided_at: must be a string, is {"google.protobuf.Timestamp":1}`},
		"a number for a time":        {`bool is_complete = 3; int64 decided_at = 4;`, encodeProto(3, 1, 4, 5), `decided_at: must be a string, is 5`},
		"bytes":                      {`bool is_complete = 3; bytes reason = 4;`, encodeProto(3, 1, 4, "abc"), `reason: must be a string, is {"bytes":3}`},
		"repeated":                   {`bool is_complete = 3; repeated string reason = 4;`, encodeProto(3, 1, 4, "abc"), `reason: must be a string, is {"repeated":1}`},
		"map":                        {`bool is_complete = 3; map<string,string> reason = 4;`, encodeProto(3, 1, 4, encodeProto(1, "a")), `reason: must be a string, is {"map":1}`},
		"message":                    {`bool is_complete = 3; google.protobuf.Struct reason = 4;`, encodeProto(3, 1, 4, ""), `reason: must be a string, is {"google.protobuf.Struct":1}`},
		"invalid UTF-8":              {`bool is_complete = 3; string reason = 4;`, encodeProto(3, 1, 4, "\xff"), `value: does not fit its schema (PROTOBUF, ID 1): proto: field M.reason contains invalid UTF-8`},
		"two names of one field":     {`bool is_complete = 3; bool b = 4 [json_name = "is_complete"];`, encodeProto(3, 1, 4, 1), "is_complete: given twice"},
		"cut off":                    {`bool is_complete = 3;`, []byte{0x1a, 0x7f}, `value: does not fit its schema (PROTOBUF, ID 1): proto: cannot parse invalid wire-format data`},
		"unknown fields are ignored": {`bool is_complete = 3;`, encodeProto(3, 1, 900, "x"), ""},
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
