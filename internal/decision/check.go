package decision

// CheckResult is the result of a check: the field decision of a check result's
// record. Its text is the wire value and the metric label. Deciding tasks from
// check results is left to package policy.
type CheckResult string

// The results of a check.
const (
	CheckPass    CheckResult = "PASS"
	CheckFail    CheckResult = "FAIL"
	CheckPartial CheckResult = "PARTIAL"
	CheckWarn    CheckResult = "WARN"
	CheckError   CheckResult = "ERROR" // the check itself broke; this is not a failed check
)

// CheckResults holds every result of a check.
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
	EffectAlreadyDecided CheckEffect = "already_decided" // its task had been decided before
	EffectDuplicate      CheckEffect = "duplicate"       // its check had been counted before
	EffectUnmatched      CheckEffect = "unmatched"       // no policy matches its task
)

// CheckEffects holds every effect of a check result that could be read.
var CheckEffects = [...]CheckEffect{
	EffectDecided, EffectCounted, EffectReset, EffectIgnored,
	EffectAlreadyDecided, EffectDuplicate, EffectUnmatched,
}
