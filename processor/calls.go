package processor

import (
	"context"
	"errors"
	"strconv"
	"time"

	"verdict/internal/passfort"
	"verdict/metrics"
	"verdict/processor/pacer"
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
	p.calls.add(began)
	value, resp, err = do(ctx)
	metrics.Observe(p.opts.Metrics.APIRequestDuration.WithLabelValues(string(op)), time.Since(began).Seconds(), passfort.TraceOf(ctx).Parent)
	p.opts.Metrics.APIRequests.WithLabelValues(string(op), code(resp, err)).Inc()
	p.answered(began, resp, err)
	return value, resp, err
}

// answered passes on what an answer says about the rate.
func (p *Processor) answered(began time.Time, resp passfort.Response, err error) {
	r := resp.Rate
	a := pacer.Answer{Began: began, Remaining: r.Remaining, Reset: r.Reset, HasReset: r.HasReset, Coarse: r.CoarseReset}
	if e, ok := errors.AsType[*passfort.Error](err); ok && e.Kind == passfort.KindThrottled {
		a.Throttled, a.Wait = true, r.RetryAfter
		p.tokens.answered(a)
		p.throttle.begin()
		return
	}
	if resp.Status != 0 { // else there was no answer
		p.tokens.answered(a)
		p.throttle.answered()
	}
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
