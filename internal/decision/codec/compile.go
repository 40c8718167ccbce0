package codec

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/sr"

	"verdict/internal/decision"
)

// compile makes the function that turns a value of this schema into JSON. A panic
// in one of the libraries is a fault of this schema, or of one value, alone.
func compile(ctx context.Context, s sr.Schema, parts []part) (func([]byte) ([]byte, error), error) {
	var decode func([]byte) ([]byte, error)
	err := guarded(func() (err error) {
		switch s.Type {
		case sr.TypeJSON:
			// What counts of it package decision checks, and more strictly than schemas do.
			decode = func(value []byte) ([]byte, error) { return value, nil }
		case sr.TypeAvro:
			decode, err = compileAvro(s, parts)
		case sr.TypeProtobuf:
			decode, err = compileProtobuf(ctx, s, parts)
		default:
			err = fmt.Errorf("type %s is not read", s.Type)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return func(value []byte) (object []byte, err error) {
		err = guarded(func() (err error) { object, err = decode(value); return err })
		return object, err
	}, nil
}

func guarded(fn func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New(decision.OneLine(fmt.Sprintf("panic: %v", r), 200))
		}
	}()
	return fn()
}
