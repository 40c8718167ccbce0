package passfort

import (
	"context"

	"verdict/internal/decision"
)

type traceKey struct{}

// WithTrace returns a context whose calls carry the headers of a trace, so that the API's
// side can connect them to it. They are sent unchanged; the zero value means no headers.
func WithTrace(ctx context.Context, trace decision.Trace) context.Context {
	return context.WithValue(ctx, traceKey{}, trace)
}

// TraceOf returns the trace of the calls with ctx; zero means none.
func TraceOf(ctx context.Context) decision.Trace {
	t, _ := ctx.Value(traceKey{}).(decision.Trace)
	return t
}
