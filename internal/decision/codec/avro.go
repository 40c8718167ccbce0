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
// counts by the size of the value.
func compileAvro(s sr.Schema, refs []reference) (func([]byte) ([]byte, error), error) {
	var cache avro.SchemaCache
	for _, ref := range refs {
		if _, err := cache.Parse(ref.text); err != nil {
			return nil, fmt.Errorf("%.100q: %w", ref.name, err)
		}
	}
	schema, err := cache.Parse(s.Schema)
	if err != nil {
		return nil, err
	}
	root := schema.Root()
	if root.Type != "record" {
		return nil, fmt.Errorf("must be a record, is %.50q", root.Type)
	}
	zoneless := make(map[string]bool) // fields of a date or a time without a zone
	for _, f := range root.Fields {
		zoneless[f.Name] = isZoneless(&f.Type)
	}
	return func(value []byte) ([]byte, error) {
		var v any
		rest, err := schema.Decode(value, &v)
		if err != nil {
			return nil, errors.New(decision.OneLine(err.Error(), 200))
		}
		if len(rest) > 0 {
			return nil, fmt.Errorf("%d bytes follow the record", len(rest))
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
		return jsonString(fmt.Sprintf("%x-%x-%x-%x-%x", v[:4], v[4:6], v[6:8], v[8:10], v[10:]))
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
