package follow

import (
	"slices"

	"verdict/internal/decision"
)

// status is what is known of one offset. The bit reported is independent of the rest.
type status uint8

const (
	unknown   status = iota // not in the batch, as far as known
	excluded                // not in the batch, although its value or line says so
	unsettled               // in the batch, without a result or dead letter
	settledAs               // plus the index in decision.Outcomes
)

const (
	settledOther status = settledAs + status(len(decision.Outcomes)) // an outcome that this version does not know
	deadAs       status = settledOther + 1                           // plus the index in decision.Reasons
	deadOther    status = deadAs + status(len(decision.Reasons))     // a reason that this version does not know
	statuses            = deadOther + 1

	reported status = 1 << 7
)

func (s status) isMember() bool { return s >= unsettled }

func (s status) isSettled() bool { return s > unsettled }

func (s status) isDead() bool { return s >= deadAs }

// resultStatus returns the status of a decision with a result. A result can't say that
// its decision was dead-lettered, so that counts as an unknown outcome.
func resultStatus(o decision.Outcome) status {
	if i := slices.Index(decision.Outcomes[:], o); i >= 0 && o != decision.DeadLettered {
		return settledAs + status(i)
	}
	return settledOther
}

// deadStatus returns the status of a decision with a dead letter.
func deadStatus(r decision.Reason) status {
	if i := slices.Index(decision.Reasons[:], r); i >= 0 {
		return deadAs + status(i)
	}
	return deadOther
}
