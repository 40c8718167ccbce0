package follow

import (
	"slices"

	"verdict/internal/decision"
)

// code is what is known of one offset. reported is a bit of its own.
type code uint8

const (
	unknown   code = iota // not of this batch, as far as known
	foreign               // its value names the batch, and still it is not of it
	unsettled             // of the batch, and without result or dead letter
	settledAs             // + the index among decision.Outcomes, or settledOther
)

const (
	settledOther code = settledAs + code(len(decision.Outcomes)) // an outcome of a newer version
	deadAs       code = settledOther + 1                         // + the index among decision.Reasons, or deadOther
	deadOther    code = deadAs + code(len(decision.Reasons))
	codes             = deadOther + 1

	reported code = 1 << 7
)

func (c code) dead() bool { return c >= deadAs }

func (c code) member() bool { return c >= unsettled }

func (c code) settled() bool { return c > unsettled }

func settledCode(o decision.Outcome) code {
	if i := slices.Index(decision.Outcomes[:], o); i >= 0 {
		return settledAs + code(i)
	}
	return settledOther
}

func deadCode(r decision.Reason) code {
	if i := slices.Index(decision.Reasons[:], r); i >= 0 {
		return deadAs + code(i)
	}
	return deadOther
}
