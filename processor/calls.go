package processor

import (
	"context"
	"errors"
	"strconv"
	"time"

	"verdict/internal/passfort"
	"verdict/metrics"
)

// errUnfinished is the error of a call that panicked.
var errUnfinished = errors.New("the call was not finished")

// call makes one call to the API, for which the caller has a token. It measures
// the call, shows it in the trace of ctx, and passes on what the answer says about
// the rate.
func call[T any](ctx context.Context, p *Processor, op passfort.Operation, do func(context.Context) (T, passfort.Response, error)) (value T, resp passfort.Response, err error) {
	ctx, span := p.opts.Tracing.beginCall(ctx, op)
	err = errUnfinished // if do panics
	defer func() { endCall(span, resp.Status, code(resp, err), err) }()
	began := time.Now()
	value, resp, err = do(ctx)
	metrics.Observe(p.opts.Metrics.APIRequestDuration.WithLabelValues(string(op)), time.Since(began).Seconds(), passfort.TraceparentOf(ctx))
	p.opts.Metrics.APIRequests.WithLabelValues(string(op), code(resp, err)).Inc()
	p.tokens.heed(resp.Rate)
	if e, ok := errors.AsType[*passfort.Error](err); ok && e.Kind == passfort.KindThrottled {
		p.throttle.begin(resp.Rate)
	} else if resp.Status != 0 {
		p.throttle.answered()
	}
	return value, resp, err
}

// code returns the metric label of how a call ended. A status outside HTTP's own
// range counts as an error, so that an API can't create series without bound.
func code(resp passfort.Response, err error) string {
	if resp.Status >= 100 && resp.Status <= 599 {
		return strconv.Itoa(resp.Status)
	}
	if e, ok := errors.AsType[*passfort.Error](err); ok && e.Kind == passfort.KindTimeout {
		return "timeout"
	}
	return "error"
}
