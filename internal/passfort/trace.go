package passfort

import "context"

type traceparentKey struct{}

// WithTraceparent returns a context whose calls carry the header traceparent
// (https://www.w3.org/TR/trace-context/), so that the API's side can connect them to
// the caller's trace. The value is sent unchanged; empty means no header.
func WithTraceparent(ctx context.Context, traceparent string) context.Context {
	return context.WithValue(ctx, traceparentKey{}, traceparent)
}

// TraceparentOf returns the traceparent of the calls with ctx; empty means none.
func TraceparentOf(ctx context.Context) string {
	s, _ := ctx.Value(traceparentKey{}).(string)
	return s
}
