package codec

import (
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"

	"verdict/internal/decision"
)

// compileAvro is compile for an Avro record. The library bounds depth, lengths and
// counts by the size of the value, but not what takes no byte of it.
func compileAvro(s sr.Schema, refs []reference) (func([]byte) ([]byte, error), error) {
	var cache avro.SchemaCache
	parse := func(text string) (*avro.Schema, error) {
		if err := checkAvro(text); err != nil {
			return nil, err
		}
		return cache.Parse(text)
	}
	for _, ref := range refs {
		if _, err := parse(ref.text); err != nil {
			return nil, fmt.Errorf("%.100q: %w", ref.name, err)
		}
	}
	schema, err := parse(s.Schema)
	if err != nil {
		return nil, err
	}
	top := schema.Root()
	root, err := recordOf(top)
	if err != nil {
		return nil, err
	}
	types := make(avroTypes)
	types.add(top)
	zoneless := make(map[string]bool) // fields of a date or a time without a zone
	for _, f := range root.Fields {
		zoneless[f.Name] = isZoneless(&f.Type)
	}
	return func(value []byte) ([]byte, error) {
		if types.walk(top, value).left < 0 {
			return nil, fmt.Errorf("it holds more than %d values", maxAvroParts)
		}
		var v any
		rest, err := schema.Decode(value, &v)
		if err != nil {
			return nil, errors.New(decision.OneLine(err.Error(), 200))
		}
		if len(rest) > 0 {
			return nil, fmt.Errorf("%d bytes follow the record", len(rest))
		}
		if v == nil {
			return nil, errors.New("it is null")
		}
		fields, _ := v.(map[string]any)
		var o object
		for _, name := range decision.Fields {
			if field, ok := fields[name]; ok && field != nil {
				o.add(name, avroValue(name, field, zoneless[name]))
			}
		}
		return o.bytes(), nil
	}, nil
}

// recordOf returns the record that a schema is, or that it is a union of with null.
func recordOf(n *avro.SchemaNode) (*avro.SchemaNode, error) {
	if n.Type == "union" && len(n.Branches) == 2 {
		for i := range n.Branches {
			if n.Branches[i].Type == "null" {
				n = &n.Branches[1-i]
				break
			}
		}
	}
	if n.Type != "record" {
		return n, fmt.Errorf("must be a record, or a union of null and a record; is %.50q", n.Type)
	}
	return n, nil
}

// isZoneless reports whether a type, or one of its branches, is a date or a time
// without a zone.
func isZoneless(n *avro.SchemaNode) bool {
	for i := range n.Branches {
		if isZoneless(&n.Branches[i]) {
			return true
		}
	}
	return n.LogicalType == "date" || strings.HasPrefix(n.LogicalType, "local-timestamp-")
}

// avroValue returns a field's value as JSON.
func avroValue(name string, value any, zoneless bool) []byte {
	switch v := value.(type) {
	case string:
		return jsonString(v)
	case bool:
		return fmt.Append(nil, v)
	case int32, int64:
		return fmt.Append(nil, v)
	case float32, float64:
		return placeholder("float", 1)
	case time.Time:
		if zoneless {
			return jsonString(v.UTC().Format("2006-01-02T15:04:05.999999999"))
		}
		return jsonString(v.UTC().Format(time.RFC3339Nano))
	case [16]byte:
		return jsonString(uuid(v))
	case []byte:
		return placeholder("bytes", len(v))
	case []any:
		return placeholder("array", len(v))
	case *big.Rat:
		return placeholder("decimal", 1)
	case map[string]any:
		if name != "task" {
			return placeholder("record", len(v))
		}
		var o object
		for _, name := range slices.Sorted(maps.Keys(v)) {
			switch field := v[name]; {
			case field == nil:
			case isTaskField(name):
				o.add(name, avroValue(name, field, false))
			default:
				o.add(name, placeholder("unknown", 1))
			}
		}
		return o.bytes()
	}
	return placeholder(fmt.Sprintf("%T", value), 1)
}
