package codec

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/sr"

	"verdict/internal/decision"
)

// compile returns the function that turns a value of this schema into JSON. A panic
// in one of the libraries becomes an error of this schema or of one value.
func compile(ctx context.Context, s sr.Schema, refs []reference) (func([]byte) ([]byte, error), error) {
	var decode func([]byte) ([]byte, error)
	err := recovered(func() (err error) {
		switch s.Type {
		case sr.TypeJSON:
			// Package decision checks the fields, and more strictly than a schema would.
			decode = func(value []byte) ([]byte, error) { return value, nil }
		case sr.TypeAvro:
			decode, err = compileAvro(s, refs)
		case sr.TypeProtobuf:
			decode, err = compileProtobuf(ctx, s, refs)
		default:
			err = fmt.Errorf("schemas of type %s are not supported", s.Type)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return func(value []byte) (object []byte, err error) {
		err = recovered(func() (err error) { object, err = decode(value); return err })
		return object, err
	}, nil
}

// recovered calls fn and returns its panic as an error.
func recovered(fn func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New(decision.OneLine(fmt.Sprintf("panic: %v", r), 200))
		}
	}()
	return fn()
}
