package codec

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/sr"
)

// compile makes the function that turns a value of this schema into JSON. A panic
// in one of the libraries is a fault of this schema, or of one value, alone.
func compile(ctx context.Context, s sr.Schema, parts []part) (_ func([]byte) ([]byte, error), err error) {
	defer recovered(&err)
	var decode func([]byte) ([]byte, error)
	switch s.Type {
	case sr.TypeJSON:
		// What counts of it package decision checks, and more strictly than schemas do.
		return func(value []byte) ([]byte, error) { return value, nil }, nil
	case sr.TypeAvro:
		decode, err = compileAvro(s, parts)
	case sr.TypeProtobuf:
		decode, err = compileProtobuf(ctx, s, parts)
	default:
		err = fmt.Errorf("type %s is not read", s.Type)
	}
	if err != nil {
		return nil, err
	}
	return func(value []byte) (object []byte, err error) {
		defer recovered(&err)
		return decode(value)
	}, nil
}

func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("panic: %v", r)
	}
}
