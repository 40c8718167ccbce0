package codec_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
)

// TestProtobufImportsWhatSerializersTakeForKnown has an import without a reference of each
// kind, and reads a value whose fields have those types.
func TestProtobufImportsWhatSerializersTakeForKnown(t *testing.T) {
	inWorld(t, func(w *world) {
		w.seed(1, sr.TypeProtobuf, `syntax = "proto3";
			import "confluent/meta.proto";
			import "confluent/types/decimal.proto";
			import "google/protobuf/timestamp.proto";
			import "google/type/datetime.proto";
			import "google/type/dayofweek.proto";
			import "google/type/interval.proto";
			import "google/type/money.proto";
			import "google/type/phone_number.proto";
			option (confluent.file_meta).doc = "decisions";
			message M {
				option (confluent.message_meta) = {doc: "a decision", params: [{key: "owner", value: "kyc"}], rules: [{name: "r", expr: "true"}]};
				string profile_id = 1 [(confluent.field_meta) = {tags: ["PII"]}];
				string task_id = 2;
				bool is_complete = 3;
				google.type.Money fee = 4;
				confluent.type.Decimal score = 5 [(confluent.field_meta) = {params: [{key: "precision", value: "8"}, {key: "scale", value: "3"}]}];
				google.type.DayOfWeek day = 6;
				google.type.Interval valid = 7;
				google.type.PhoneNumber.ShortCode code = 8;
				google.type.TimeZone zone = 9;
				google.type.Money reason = 10;
			}`)
		value := encodeProto(1, profileID, 2, taskID, 3, 1, 4, encodeProto(1, "EUR", 2, 5), 5, encodeProto(1, "\x01"), 6, 3)
		if _, err := w.decoder.Decode(w.Context(), record(framed(1, indexed(value, 0)))); err != nil {
			w.Error(err)
		}
		const want = `reason: must be a string, is {"google.type.Money":1}`
		value = append(value, encodeProto(10, encodeProto(1, "EUR"))...)
		if _, err := w.decoder.Decode(w.Context(), record(framed(1, indexed(value, 0)))); plain(err) != want {
			w.Errorf("got  %v\nwant %s", err, want)
		}
	})
}

// TestReferenceReplacesABuiltinFile checks that a schema may refer to the registry's own
// copy of a file that is built in, as a serializer with skip.known.types=false does.
func TestReferenceReplacesABuiltinFile(t *testing.T) {
	inWorld(t, func(w *world) {
		w.schemas.SeedSchema("money", 1, 90, sr.Schema{Type: sr.TypeProtobuf, Schema: `syntax = "proto3"; package google.type; message Money { message Ours {} }`})
		w.seed(1, sr.TypeProtobuf, `syntax = "proto3"; import "google/type/money.proto";
			message M { string profile_id = 1; string task_id = 2; bool is_complete = 3; google.type.Money.Ours fee = 4; }`,
			sr.SchemaReference{Name: "google/type/money.proto", Subject: "money", Version: 1})
		if _, err := w.decoder.Decode(w.Context(), record(framed(1, indexed(encodeProto(1, profileID, 2, taskID, 3, 1), 0)))); err != nil {
			w.Error(err)
		}
	})
}
