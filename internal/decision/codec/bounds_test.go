package codec

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
	"google.golang.org/protobuf/types/descriptorpb"
)

// allocated returns the bytes that fn allocates.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func repeat(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// TestHostileSchemaIsRefusedBeforeItIsParsed has schemas of a few hundred kilobytes that
// took a parser hundreds of megabytes or more.
func TestHostileSchemaIsRefusedBeforeItIsParsed(t *testing.T) {
	const proto = `syntax = "proto3"; `
	around := &descriptorpb.DescriptorProto{Name: new(strings.Repeat("M", 10_000))}
	for range 5000 {
		around.NestedType = append(around.NestedType, &descriptorpb.DescriptorProto{Name: new("f")})
	}
	nested := new(descriptorpb.DescriptorProto)
	for range 40 {
		nested = &descriptorpb.DescriptorProto{Name: new("Message"), NestedType: []*descriptorpb.DescriptorProto{nested}}
	}
	encoded := func(m *descriptorpb.DescriptorProto) string {
		return asDescriptor(t, &descriptorpb.FileDescriptorProto{Syntax: new("proto3"), MessageType: []*descriptorpb.DescriptorProto{m}}).Schema
	}
	for name, tc := range map[string]struct {
		kind sr.SchemaType
		text string
		want string
	}{
		"messages in messages":                 {sr.TypeProtobuf, proto + strings.Repeat("message M {", 40_000) + strings.Repeat("}", 40_000), "1:1438: blocks nest deeper than 256 bytes of names"},
		"behind a quote in a comment":          {sr.TypeProtobuf, proto + "/* ' */ // \"\n" + strings.Repeat("message M {", 40_000), "2:1419: blocks nest deeper than 256 bytes of names"},
		"values in an option":                  {sr.TypeProtobuf, proto + "option (x) = " + strings.Repeat("{a:", 100_000), "1:417: blocks nest deeper than 256 bytes of names"},
		"values in angle brackets":             {sr.TypeProtobuf, proto + "option (x) = {" + strings.Repeat("a<", 200_000), "1:289: blocks nest deeper than 256 bytes of names"},
		"a long name around many":              {sr.TypeProtobuf, proto + "message " + strings.Repeat("M", 50_000) + "{" + repeat(5000, "message f%d{}") + "}", "1:50028: blocks nest deeper than 256 bytes of names"},
		"a descriptor of messages in messages": {sr.TypeProtobuf, encoded(nested), "messages nest deeper than 256 bytes of names"},
		"a descriptor with a long name":        {sr.TypeProtobuf, encoded(around), "messages nest deeper than 256 bytes of names"},
		"a long namespace":                     {sr.TypeAvro, `{"type":"record","namespace":"` + strings.Repeat("M", 50_000) + `","name":"R","fields":[` + repeat(3000, `{"name":"f%[1]d","type":{"type":"record","name":"R%[1]d","fields":[]}},`) + `{"name":"z","type":"int"}]}`, "a namespace has more than 512 bytes"},
		"a long name":                          {sr.TypeAvro, `{"type":"record","fields":[],"name":"\u004d` + strings.Repeat("M", 512) + `"}`, "a name has more than 512 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			for what, refs := range map[string][]reference{"itself": nil, "referred to": {{"x", tc.text}}} {
				s := sr.Schema{Schema: tc.text, Type: tc.kind}
				if refs != nil {
					s.Schema = map[sr.SchemaType]string{sr.TypeProtobuf: proto + `import "x"; message Z {}`, sr.TypeAvro: `{"type":"record","name":"Z","fields":[]}`}[tc.kind]
				}
				var err error
				took := allocated(func() { _, err = compile(context.Background(), s, refs) })
				if err == nil || !strings.HasSuffix(err.Error(), tc.want) || took > 32<<20 {
					t.Errorf("%s: %d MiB, %.200v\nwant %s", what, took>>20, err, tc.want)
				}
			}
		})
	}
}

// TestSchemaOfARealSizeFits checks that the bounds leave room: comments and text with
// braces, and messages as deep as the compiler allows.
func TestSchemaOfARealSizeFits(t *testing.T) {
	text := `syntax = "proto3"; /* {{{ */ option java_package = "` + strings.Repeat("{", 300) + `"; // '<<<` +
		strings.Repeat("{", 300) + "\n" + repeat(30, "message Level%d { string name = 1; map<string, string> m = 2; ") + strings.Repeat("}", 30) +
		repeat(500, "message M%d { string a = 1; oneof o { string b = 2; int64 c = 3; } }\n")
	if _, err := compile(t.Context(), sr.Schema{Schema: text, Type: sr.TypeProtobuf}, nil); err != nil {
		t.Error(err)
	}
}

// TestAvroValueOfMillionsIsRefusedBeforeItIsDecoded has values of few bytes that stand for
// millions: types that hold the previous one twice, a long array of nulls in records, and
// a list whose every element has a thousand.
func TestAvroValueOfMillionsIsRefusedBeforeItIsDecoded(t *testing.T) {
	const refused = "it holds more than 131072 values"
	twice := func(leaf string) string {
		s := `{"type":"record","namespace":"a.b","name":"R0","fields":[` + leaf + `]}`
		for i := 1; i <= 20; i++ {
			s = fmt.Sprintf(`{"type":"record","name":"R%d","fields":[{"name":"a","type":%s},{"name":"b","type":"R%d"}]}`, i, s, i-1)
		}
		return `{"type":"record","name":"D","fields":[{"name":"reason","type":` + strings.ReplaceAll(s, `"name":"R`, `"namespace":"a.b","name":"R`) + `}]}`
	}
	nulls := repeat(1000, `{"name":"n%d","type":"null"},`)
	for name, tc := range map[string]struct{ schema, value, want string }{
		"doubled":      {twice(``), "", refused},
		"doubled null": {twice(`{"name":"n","type":"null"}`), "", refused},
		"doubled text": {twice(`{"name":"s","type":"string"}`), "\x02x", "short buffer"},
		"array":        {`{"type":"record","name":"D","fields":[{"name":"reason","type":{"type":"array","items":{"type":"record","name":"I","fields":[` + nulls + `{"name":"b","type":"boolean"}]}}}]}`, "\x80\x80\x01" + strings.Repeat("\x00", 8192) + "\x00", refused},
		"map":          {`{"type":"record","name":"D","fields":[{"name":"reason","type":{"type":"map","values":{"type":"record","name":"I","fields":[` + nulls + `{"name":"b","type":"boolean"}]}}}]}`, "\xff\x7f\x80\x01" + strings.Repeat("\x02k\x00", 8192) + "\x00", refused},
		"list":         {`{"type":"record","name":"D","fields":[` + nulls + `{"name":"reason","type":["null","D"]}]}`, strings.Repeat("\x02", 500) + "\x00", refused},
		"in reach":     {`{"type":"record","name":"D","fields":[` + nulls + `{"name":"reason","type":["null","D"]}]}`, strings.Repeat("\x02", 100) + "\x00", ""},
	} {
		t.Run(name, func(t *testing.T) {
			decode, err := compile(t.Context(), sr.Schema{Schema: tc.schema}, nil)
			if err != nil {
				t.Fatal(err)
			}
			took := allocated(func() { _, err = decode([]byte(tc.value)) })
			if took > 32<<20 || err == nil != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%d MiB, %v; want %s", took>>20, err, tc.want)
			}
		})
	}
}
