package processor

import (
	"encoding/json"
	"errors"
	"strings"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/processor/health"
	"verdict/processor/resolve"
)

// verdict is how an attempt ended.
type verdict struct {
	action       action
	success      success             // of actSucceed
	refusal      refusal             // of actRefuse
	cause        decision.RetryCause // of actRetry, actWait and actCheckKey
	status       int                 // HTTP status of the last call; 0: no answer
	err          error
	maybeApplied bool             // a call may have completed the task
	listing      *resolve.Listing // of actMove
}

// action is what follows an attempt.
type action uint8

// The actions.
const (
	actSucceed  action = iota // publish a result
	actRefuse                 // publish a dead letter
	actRetry                  // try again after a back-off; an attempt is spent
	actWait                   // try again when calls go on; no attempt is spent
	actCheckKey               // ask whether the API key is still good
	actAbandon                // the partition is lost; leave the decision to its next owner
	actMove                   // the profile has been listed: go to the task that the list names
)

// success settles a decision with a result.
type success struct {
	outcome decision.Outcome
	status  int             // HTTP status; 0: no call was made
	task    json.RawMessage // the API's answer
	taskID  string          // where it is not the job's own
	called  bool            // this attempt made the completing call
}

// refusal settles a decision with a dead letter.
type refusal struct {
	reason decision.Reason
	status int
	err    error
	called bool // this attempt is spent as well
}

// note is an error that is only text.
type note string

func (n note) Error() string { return string(n) }

// classify is the table of what to do when a call fails. passfort sorts
// statuses, transport errors and error bodies into kinds, unknown ones included;
// the table says what each kind means for a decision.
func classify(err error) verdict {
	e, ok := errors.AsType[*passfort.Error](err)
	if !ok { // not an error of the client's: treat it as a cut connection
		return verdict{action: actRetry, cause: decision.RetryConnection, err: err, maybeApplied: true}
	}
	v := verdict{status: e.Status, err: e, maybeApplied: e.MaybeApplied}
	switch e.Kind {
	case passfort.KindTimeout: // no answer in time: perhaps done, so look first
		v.action, v.cause = actRetry, decision.RetryTimeout
	case passfort.KindConnection: // not reached (surely not done), or cut (perhaps done)
		v.action, v.cause = actRetry, decision.RetryConnection
	case passfort.KindServer: // 5xx: perhaps done, except 503
		v.action, v.cause = actRetry, decision.RetryServerError
	case passfort.KindUnconfirmed: // 2xx, but not the answer to what was asked
		v.action, v.cause, v.maybeApplied = actRetry, decision.RetryUnconfirmed, true
	case passfort.KindThrottled: // 429: too early for everyone
		v.action, v.cause = actWait, decision.RetryThrottled
	case passfort.KindKey: // the key or this task is refused: ask which
		v.action, v.cause = actCheckKey, decision.RetryAuth
	case passfort.KindCanceled: // drained: leave it to the next owner
		v.action = actAbandon
	case passfort.KindNotFound: // no such profile or task
		v.refuse(decision.TaskNotFound)
	case passfort.KindInvalid: // arguments with which no call can be made
		v.refuse(decision.InvalidEvent)
	case passfort.KindRejected: // a retry would get the same answer
		v.refuse(decision.Rejected)
	}
	return v
}

// classifyRead is classify for calls that only read. They say nothing about
// whether an earlier call completed the task.
func classifyRead(err error, maybeApplied bool) verdict {
	v := classify(err)
	v.maybeApplied = maybeApplied
	return v
}

func (v *verdict) refuse(reason decision.Reason) {
	v.action = actRefuse
	v.refusal = refusal{reason: reason, status: v.status, err: v.err, called: true}
}

// signal returns what an attempt says about the API.
func (v *verdict) signal() health.Signal {
	switch v.action {
	case actRetry:
		switch v.cause {
		case decision.RetryTimeout, decision.RetryConnection, decision.RetryServerError:
			return health.Fails
		case decision.RetryUnconfirmed, decision.RetryThrottled, decision.RetryAuth, decision.RetryPanic:
			return health.Neutral
		}
	case actWait, actCheckKey, actAbandon:
		return health.Neutral
	case actSucceed, actRefuse, actMove:
	}
	return health.Works
}

// standing is how a task's state relates to the one that a decision asks for.
type standing uint8

const (
	standsOpen    standing = iota // it can be completed
	standsWanted                  // it is in the wanted state
	standsAgainst                 // it was completed in another state
)

// stand is the table of what a task's own data says. The state decides. A state
// that is not published counts by its name and by is_complete. The flags
// is_expired and is_skipped do not matter for a task that was asked for by its
// ID: it can be completed, and the API's answer to that is in the result. (By
// alias or type an expired task is not found in the first place.)
//
// Some answers never get here, since classify takes them for failures: one about
// another task, without a state, or that is no task, is unconfirmed; errors in a
// 2xx are a refusal. In the answer to a completion any state but the wanted one
// is unconfirmed too.
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
