package passfort

import "context"

type traceparentKey struct{}

// WithTraceparent lets the calls that are made with the context carry a header
// traceparent (https://www.w3.org/TR/trace-context/), so that the API's side can
// tie them to the caller's trace. It is sent as it is given; empty: none.
func WithTraceparent(ctx context.Context, traceparent string) context.Context {
	return context.WithValue(ctx, traceparentKey{}, traceparent)
}

// TraceparentOf is what calls with the context carry; empty: nothing.
func TraceparentOf(ctx context.Context) string {
	s, _ := ctx.Value(traceparentKey{}).(string)
	return s
}
