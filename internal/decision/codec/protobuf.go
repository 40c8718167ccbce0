package codec

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/bufbuild/protocompile"
	"github.com/twmb/franz-go/pkg/sr"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"verdict/internal/decision"
)

// Bounds of a Protobuf value.
const (
	maxIndexes   = 32  // how deep a message may be declared in others
	maxRecursion = 100 // how deep messages may be nested in a value
)

// schemaFile is the name under which the compiler has the schema itself.
const schemaFile = "verdict/schema.proto"

// protoError names a place in the schema by its line alone.
func protoError(err error) error {
	return errors.New(strings.ReplaceAll(err.Error(), schemaFile+":", "line "))
}

// compileProtobuf is compile for the messages of a .proto file.
func compileProtobuf(ctx context.Context, s sr.Schema, refs []reference) (func([]byte) ([]byte, error), error) {
	sources := builtinFiles()
	sources[schemaFile] = s.Schema
	for _, ref := range refs {
		sources[ref.name] = ref.text
	}
	files := make(map[string]protocompile.SearchResult)
	for file, text := range sources {
		var err error
		if files[file], err = protoFile(file, text); err != nil {
			return nil, protoError(err)
		}
	}
	compiler := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(protocompile.ResolverFunc(func(file string) (protocompile.SearchResult, error) {
			if result, ok := files[file]; ok {
				return result, nil
			}
			return protocompile.SearchResult{}, fs.ErrNotExist
		})),
		MaxParallelism: 1,
	}
	compiled, err := compiler.Compile(ctx, schemaFile)
	if err != nil {
		return nil, protoError(err)
	}
	messages := compiled[0].Messages()
	return func(value []byte) ([]byte, error) {
		indexes, value, err := new(sr.ConfluentHeader).DecodeIndex(value, maxIndexes)
		if err != nil {
			return nil, errors.New("it does not say which message of the schema it is")
		}
		message, err := findMessage(messages, indexes)
		if err != nil {
			return nil, err
		}
		m := dynamicpb.NewMessage(message)
		// Package decision reports a required field that is missing, by its name.
		opts := proto.UnmarshalOptions{AllowPartial: true, DiscardUnknown: true, RecursionLimit: maxRecursion, Resolver: noTypes{}}
		if err := opts.Unmarshal(value, m); err != nil {
			return nil, errors.New(decision.OneLine(err.Error(), 200))
		}
		var o object
		// Range skips a field without presence that has its zero value: it counts as
		// not given. Fields that no decision has are left out: they mean nothing and
		// could be large.
		m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			if name, ok := fieldName(fd, decision.IsField); ok {
				o.add(name, protoValue(name, fd, v))
			}
			return true
		})
		return o.bytes(), nil
	}, nil
}

// protoFile returns a file for the compiler, which is text or a descriptor in base64:
// serializers without the text register that, and some registries return it as it is.
func protoFile(file, text string) (protocompile.SearchResult, error) {
	encoded, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return protocompile.SearchResult{Source: strings.NewReader(text)}, checkProto(file, text)
	}
	var d descriptorpb.FileDescriptorProto
	opts := proto.UnmarshalOptions{RecursionLimit: maxRecursion, Resolver: noTypes{}}
	if err := opts.Unmarshal(encoded, &d); err != nil {
		return protocompile.SearchResult{}, fmt.Errorf("%.100q is not a descriptor: %w", file, err)
	}
	d.Name = new(file)
	return protocompile.SearchResult{Proto: &d}, checkMessages(0, d.GetMessageType())
}

// noTypes resolves no extensions: a decision has none.
type noTypes struct{}

func (noTypes) FindExtensionByName(protoreflect.FullName) (protoreflect.ExtensionType, error) {
	return nil, protoregistry.NotFound
}

func (noTypes) FindExtensionByNumber(protoreflect.FullName, protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	return nil, protoregistry.NotFound
}

// findMessage returns the message with these indexes: the first is its index in the
// file, the next its index in that message, and so on.
func findMessage(in protoreflect.MessageDescriptors, indexes []int) (m protoreflect.MessageDescriptor, err error) {
	for _, i := range indexes {
		if i < 0 || i >= in.Len() {
			return nil, fmt.Errorf("the schema has no message %d", indexes)
		}
		m = in.Get(i)
		in = m.Messages()
	}
	return m, nil
}

// fieldName returns the decision's name of a Protobuf field: the field's own name
// or its name in JSON, which is profileId for profile_id unless the schema says
// otherwise. wanted reports whether the decision has a field of that name.
func fieldName(fd protoreflect.FieldDescriptor, wanted func(string) bool) (string, bool) {
	if name := string(fd.Name()); wanted(name) {
		return name, true
	}
	if wanted(fd.JSONName()) {
		return fd.JSONName(), true
	}
	snake := snakeCase(fd.JSONName())
	return snake, wanted(snake)
}

func snakeCase(camel string) string {
	var b strings.Builder
	for _, r := range camel {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// protoValue returns a field's value as JSON.
func protoValue(name string, fd protoreflect.FieldDescriptor, v protoreflect.Value) []byte {
	switch {
	case fd.IsMap():
		return placeholder("map", v.Map().Len())
	case fd.IsList():
		return placeholder("repeated", v.List().Len())
	}
	switch fd.Kind() {
	case protoreflect.StringKind:
		return jsonString(v.String())
	case protoreflect.BoolKind:
		return fmt.Append(nil, v.Bool())
	case protoreflect.EnumKind:
		if value := fd.Enum().Values().ByNumber(v.Enum()); value != nil {
			return jsonString(string(value.Name()))
		}
		return fmt.Append(nil, v.Enum())
	case protoreflect.BytesKind:
		return placeholder("bytes", len(v.Bytes()))
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return placeholder("float", 1)
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return protoMessage(name, v.Message())
	}
	return fmt.Append(nil, v.Interface()) // the integers
}

// protoMessage returns a message as JSON: a time, a wrapped string or bool, or the
// name of a task.
func protoMessage(name string, m protoreflect.Message) []byte {
	full := m.Descriptor().FullName()
	switch {
	case full == "google.protobuf.Timestamp":
		at := func(n protoreflect.FieldNumber) int64 {
			return m.Get(m.Descriptor().Fields().ByNumber(n)).Int()
		}
		t := &timestamppb.Timestamp{Seconds: at(1), Nanos: int32(at(2))}
		if t.IsValid() {
			return jsonString(t.AsTime().Format(time.RFC3339Nano))
		}
	case slices.Contains(wrappers, full):
		if b, err := protojson.Marshal(m.Interface()); err == nil {
			return b
		}
	case name == "task":
		var o object
		m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			if name, ok := fieldName(fd, isTaskField); ok {
				o.add(name, protoValue(name, fd, v))
			} else {
				o.add(name, placeholder("unknown", 1))
			}
			return true
		})
		return o.bytes()
	}
	return placeholder(string(full), 1)
}

// wrappers holds the wrapper types that a decision's fields may have.
var wrappers = []protoreflect.FullName{"google.protobuf.StringValue", "google.protobuf.BoolValue"}
