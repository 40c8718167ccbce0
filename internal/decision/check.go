package decision

// CheckResult is what a check came to: the field decision of a check result. Its
// text is the wire value and the metric label. Deciding a task from it is left to
// package policy.
type CheckResult string

// The results of a check. An error of a check is not a failed check.
const (
	CheckPass    CheckResult = "PASS"
	CheckFail    CheckResult = "FAIL"
	CheckPartial CheckResult = "PARTIAL"
	CheckWarn    CheckResult = "WARN"
	CheckError   CheckResult = "ERROR"
)

// CheckResults is every result of a check.
var CheckResults = [...]CheckResult{CheckPass, CheckFail, CheckPartial, CheckWarn, CheckError}

// CheckEffect is what a check result did to its task. Its text is the metric
// label.
type CheckEffect string

// The effects of a check result that could be read.
const (
	EffectDecided        CheckEffect = "decided"         // it led to a decision
	EffectCounted        CheckEffect = "counted"         // it counts towards one
	EffectReset          CheckEffect = "reset"           // it ended a run of consecutive fails
	EffectIgnored        CheckEffect = "ignored"         // the policy leaves it to people
	EffectAlreadyDecided CheckEffect = "already_decided" // its task had its decision
	EffectDuplicate      CheckEffect = "duplicate"       // its check was counted before
	EffectUnmatched      CheckEffect = "unmatched"       // no policy is for its task
)

// CheckEffects is every effect of a check result that could be read.
var CheckEffects = [...]CheckEffect{
	EffectDecided, EffectCounted, EffectReset, EffectIgnored,
	EffectAlreadyDecided, EffectDuplicate, EffectUnmatched,
}
