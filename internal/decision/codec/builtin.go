package codec

import (
	"maps"
	"path"
	"strings"
)

// builtinFiles returns the .proto files that Confluent's serializers and registry take for
// known, so that a schema may import them without a reference. google/protobuf is not
// among them: the compiler has it.
func builtinFiles() map[string]string {
	files := maps.Clone(builtins)
	for file, body := range files {
		files[file] = `syntax = "proto3"; package ` + strings.ReplaceAll(path.Dir(file), "/", ".") + "; " + body
	}
	return files
}

// builtins holds the declarations in each file. No field of a decision has one of these
// messages, so they have fields only where a schema's options set them.
var builtins = map[string]string{
	"confluent/meta.proto": `import "google/protobuf/descriptor.proto";
		message Meta { string doc = 1; map<string, string> params = 2; repeated string tags = 3; repeated Rule rules = 4; }
		message Rule { string name = 1; string doc = 2; string expr = 3; string sql = 4; }
		extend google.protobuf.FileOptions { Meta file_meta = 1088; }
		extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
		extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
		extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
		extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }`,
	"confluent/type/decimal.proto":  `message Decimal {}`,
	"confluent/type/variant.proto":  `message Variant {}`,
	"confluent/types/decimal.proto": `import public "confluent/type/decimal.proto";`,

	"google/type/calendar_period.proto": `enum CalendarPeriod { CALENDAR_PERIOD_UNSPECIFIED = 0; DAY = 1; WEEK = 2; FORTNIGHT = 3; MONTH = 4; QUARTER = 5; HALF = 6; YEAR = 7; }`,
	"google/type/color.proto":           `message Color {}`,
	"google/type/date.proto":            `message Date {}`,
	"google/type/datetime.proto":        `message DateTime {} message TimeZone {}`,
	"google/type/dayofweek.proto":       `enum DayOfWeek { DAY_OF_WEEK_UNSPECIFIED = 0; MONDAY = 1; TUESDAY = 2; WEDNESDAY = 3; THURSDAY = 4; FRIDAY = 5; SATURDAY = 6; SUNDAY = 7; }`,
	"google/type/decimal.proto":         `message Decimal {}`,
	"google/type/expr.proto":            `message Expr {}`,
	"google/type/fraction.proto":        `message Fraction {}`,
	"google/type/interval.proto":        `message Interval {}`,
	"google/type/latlng.proto":          `message LatLng {}`,
	"google/type/localized_text.proto":  `message LocalizedText {}`,
	"google/type/money.proto":           `message Money {}`,
	"google/type/month.proto":           `enum Month { MONTH_UNSPECIFIED = 0; JANUARY = 1; FEBRUARY = 2; MARCH = 3; APRIL = 4; MAY = 5; JUNE = 6; JULY = 7; AUGUST = 8; SEPTEMBER = 9; OCTOBER = 10; NOVEMBER = 11; DECEMBER = 12; }`,
	"google/type/phone_number.proto":    `message PhoneNumber { message ShortCode {} }`,
	"google/type/postal_address.proto":  `message PostalAddress {}`,
	"google/type/quaternion.proto":      `message Quaternion {}`,
	"google/type/timeofday.proto":       `message TimeOfDay {}`,
}
