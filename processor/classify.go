package processor

import (
	"encoding/json"
	"errors"
	"strings"

	"verdict/internal/decision"
	"verdict/internal/passfort"
)

// verdict is what an attempt came to.
type verdict struct {
	action     action
	result     result     // of complete
	deadLetter deadLetter // of refuse
	cause      decision.RetryCause
	status     int
	err        error
	unclear    bool     // the call may have been carried out unseen
	listing    *listing // of found
}

// action is what is to be done after an attempt.
type action uint8

const (
	complete action = iota // publish a result
	refuse                 // publish a dead letter
	tryAgain               // try again later; an attempt is spent
	later                  // try again when calls go on; no attempt is spent
	suspect                // ask whether the key is still good
	abandon                // the partition is lost; leave it to its next owner
	found                  // the profile's tasks are known: go on with those that wait for that
)

type result struct {
	outcome decision.Outcome
	status  int
	task    json.RawMessage
	called  bool // the attempt that settles it made the completing call
}

type deadLetter struct {
	reason decision.Reason
	status int
	err    error
	text   string // instead of err
	called bool   // the attempt that settles it is spent as well
}

// says is the text of the header verdict-error.
func (d *deadLetter) says() string {
	if d.text == "" && d.err != nil {
		return d.err.Error()
	}
	return d.text
}

// classify is the table of what is done about each way in which a call can
// fail. passfort sorts statuses, transport errors and error bodies into kinds,
// unknown ones included; here is what each kind means for a decision.
func classify(err error) verdict {
	e, ok := errors.AsType[*passfort.Error](err)
	if !ok { // not an error of the client's: treat it as a cut connection
		return verdict{action: tryAgain, cause: decision.RetryConnection, err: err, unclear: true}
	}
	v := verdict{status: e.Status, err: e, unclear: e.MaybeApplied}
	switch e.Kind {
	case passfort.KindTimeout: // no answer in time: perhaps done, so look first
		v.action, v.cause = tryAgain, decision.RetryTimeout
	case passfort.KindConnection: // not reached (surely not done), or cut (perhaps done)
		v.action, v.cause = tryAgain, decision.RetryConnection
	case passfort.KindServer: // 5xx: perhaps done, but for 503
		v.action, v.cause = tryAgain, decision.RetryServerError
	case passfort.KindUnconfirmed: // 2xx, but not the answer to what was asked
		v.action, v.cause, v.unclear = tryAgain, decision.RetryUnconfirmed, true
	case passfort.KindThrottled: // 429: too early for everyone
		v.action, v.cause = later, decision.RetryThrottled
	case passfort.KindKey: // the key, or this task, is refused: ask which
		v.action, v.cause = suspect, decision.RetryAuth
	case passfort.KindCanceled: // drained: leave it to the next owner
		v.action = abandon
	case passfort.KindNotFound: // no such profile or task
		v.refuse(decision.TaskNotFound)
	case passfort.KindInvalid: // arguments that no call can be made with
		v.refuse(decision.InvalidEvent)
	default: // KindRejected and kinds to come: a retry would get the same answer
		v.refuse(decision.Rejected)
	}
	return v
}

// classifyLook is classify for calls that only look: they leave as unclear as it
// was whether an earlier call was carried out.
func classifyLook(err error, unclear bool) verdict {
	v := classify(err)
	v.unclear = unclear
	return v
}

// standing is how a task stands to a decision.
type standing uint8

const (
	standsOpen    standing = iota // it can be completed
	standsWanted                  // it is in the state that is wanted
	standsAgainst                 // it was completed in another state
)

// stand is the table of what a task says about itself. The state decides. A
// state that is not published counts by its name and by is_complete. The flags
// is_expired and is_skipped say nothing about a task that was asked for by its
// ID: it can be completed, and what the API answers to that is in the result.
// (By alias or type an expired task is not found in the first place.)
//
// What never gets here: an answer about another task, without a state, or that is
// no task, is unconfirmed; errors in a 2xx are a refusal; both by classify. For
// the answer to a completion any state but the wanted one is unconfirmed too.
func stand(t *passfort.Task, want decision.State) standing {
	switch t.State {
	case want:
		return standsWanted
	case decision.CompletedPass, decision.CompletedFail:
		return standsAgainst
	case decision.Incomplete:
		return standsOpen
	}
	if t.IsComplete || strings.HasPrefix(string(t.State), "COMPLETED_") {
		return standsAgainst
	}
	return standsOpen
}

func (v *verdict) refuse(reason decision.Reason) {
	v.action = refuse
	v.deadLetter = deadLetter{reason: reason, status: v.status, err: v.err, called: true}
}

// about says what an attempt tells of the API: that it failed to serve, or
// nothing at all (neutral), or that it serves, be it with a refusal.
func (v *verdict) about() (failed, neutral bool) {
	switch v.action {
	case tryAgain:
		failed = v.cause == decision.RetryTimeout || v.cause == decision.RetryConnection || v.cause == decision.RetryServerError
		return failed, !failed
	case later, suspect, abandon:
		return false, true
	}
	return false, false
}
