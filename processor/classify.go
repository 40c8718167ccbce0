package processor

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/processor/health"
	"verdict/processor/resolve"
)

// verdict is how an attempt ended.
type verdict struct {
	action       action
	success      success             // of actSucceed
	refusal      refusal             // of actRefuse and actBlame
	cause        decision.RetryCause // of actBlame, actRetry and actWait
	status       int                 // HTTP status of the last call; 0: no answer
	err          error
	atLeast      time.Duration    // of actBlame, actRetry and actWait: the shortest wait before the next try
	maybeApplied bool             // a call may have completed the task
	listing      *resolve.Listing // of actMove
}

// action is what follows an attempt.
type action uint8

// The actions.
const (
	actSucceed action = iota // publish a result
	actRefuse                // publish a dead letter
	actBlame                 // publish a dead letter once the API is known to work; an attempt is spent
	actRetry                 // try again after a back-off; an attempt is spent
	actWait                  // try again when calls go on; no attempt is spent
	actAbandon               // the partition is lost; leave the decision to its next owner
	actMove                  // the profile has been listed: go to the task that the list names
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
	v := verdict{status: e.Status, err: e, atLeast: e.RetryAfter, maybeApplied: e.MaybeApplied}
	switch e.Kind {
	case passfort.KindTimeout: // no answer in time: perhaps done, so look first
		v.action, v.cause = actRetry, decision.RetryTimeout
	case passfort.KindConnection: // not reached (surely not done), or cut (perhaps done)
		v.action, v.cause = actRetry, decision.RetryConnection
	case passfort.KindServer: // 5xx: perhaps done, except 503
		v.action, v.cause = actRetry, decision.RetryServerError
	case passfort.KindForeign: // something else than the API answered: as if it were away
		v.action, v.cause = actRetry, decision.RetryForeign
	case passfort.KindUnconfirmed: // 2xx, but not the answer to what was asked
		v.action, v.cause, v.maybeApplied = actRetry, decision.RetryUnconfirmed, true
	case passfort.KindThrottled: // 429: too early for everyone
		v.action, v.cause = actWait, decision.RetryThrottled
	case passfort.KindKey: // the key or this task is refused: whoami tells which
		v.blame(decision.Forbidden)
		if v.cause = decision.RetryAuth; e.Foreign { // or a gateway refuses
			v.action, v.cause, v.refusal = actRetry, decision.RetryForeign, refusal{}
		}
	case passfort.KindCanceled: // drained: leave it to the next owner
		v.action = actAbandon
	case passfort.KindNotFound: // no such profile or task
		v.blame(decision.TaskNotFound)
	case passfort.KindInvalid: // arguments with which no call can be made
		v.action, v.refusal = actRefuse, refusal{reason: decision.InvalidEvent, err: err}
	case passfort.KindRejected: // a retry would get the same answer
		v.blame(decision.Rejected)
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

func (v *verdict) blame(reason decision.Reason) {
	v.action, v.cause, v.atLeast = actBlame, decision.RetryRefused, max(v.atLeast, refusedWait)
	v.refusal = refusal{reason: reason, status: v.status, err: v.err}
}

// signal returns what an attempt says about the API.
func (v *verdict) signal() health.Signal {
	switch v.action {
	case actRetry:
		switch v.cause {
		case decision.RetryTimeout, decision.RetryConnection, decision.RetryServerError, decision.RetryForeign:
			return health.Fails
		case decision.RetryUnconfirmed, decision.RetryThrottled, decision.RetryAuth, decision.RetryRefused, decision.RetryPanic:
		}
		return health.Neutral
	case actBlame:
		return health.Refused
	case actWait, actAbandon:
		return health.Neutral
	case actRefuse:
		if v.refusal.reason == decision.InvalidEvent { // no call was made
			return health.Neutral
		}
	case actSucceed, actMove:
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
// another task, or without a state, is unconfirmed; errors in a
// 2xx are a refusal; and what is no task at all is not the API's. In the answer to a completion any state but the wanted one
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
