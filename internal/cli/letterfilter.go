package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	bulkredrive "verdict/internal/bulk/redrive"
	"verdict/internal/decision"
)

// letterFilter are the flags that choose dead letters.
type letterFilter struct {
	reasons      []string
	batchID      string
	since, until timeFlag
	profile      string
	match        string
	limit        int64 // 0: none
}

func (o *letterFilter) register(cmd *cobra.Command, limit string) {
	f := cmd.Flags()
	f.StringSliceVar(&o.reasons, "reason", nil, "only these `reasons`, separated by commas: "+strings.Join(reasonNames(), ", "))
	f.StringVar(&o.batchID, "batch-id", "", "only dead letters of the batch with this `ID`")
	f.Var(&o.since, "since", "only those dead-lettered at this time or later: a time, or an age such as 36h or 7d")
	f.Var(&o.until, "until", "only those dead-lettered before this time: a time, or an age")
	f.StringVar(&o.profile, "profile", "", "only dead letters of the profile with this `ID`")
	f.StringVar(&o.match, "match", "", "only those with this `text` in the error or the value, ignoring case")
	f.Int64Var(&o.limit, "limit", 0, limit)
	completeList(cmd, "reason", reasonNames())
	for _, flag := range []string{"batch-id", "since", "until", "profile", "match", "limit"} {
		completeValues(cmd, flag, nil)
	}
}

// reasonNames returns the values of --reason.
func reasonNames() []string {
	names := make([]string, len(decision.Reasons))
	for i, r := range decision.Reasons {
		names[i] = string(r)
	}
	return names
}

// filter returns the filter, and every fault of the flags.
func (o *letterFilter) filter() (filter bulkredrive.Filter, faults []error) {
	filter = bulkredrive.Filter{BatchID: o.batchID, Since: o.since.time, Until: o.until.time, Profile: o.profile, Match: o.match}
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for _, name := range o.reasons {
		reason := decision.Reason(strings.TrimSpace(name))
		if !slices.Contains(decision.Reasons[:], reason) {
			fault("--reason: must be one of %s, is %q", strings.Join(reasonNames(), ", "), name)
		}
		filter.Reasons = append(filter.Reasons, reason)
	}
	if o.profile != "" && !decision.ValidID(o.profile) {
		fault("--profile: must be 8-4-4-4-12 hexadecimal digits, is %q", o.profile)
	}
	if o.limit < 0 {
		fault("--limit: must be 0 or more, is %d", o.limit)
	}
	if !filter.Since.IsZero() && !filter.Until.IsZero() && !filter.Since.Before(filter.Until) {
		fault("--since %s must be before --until %s", o.since.text, o.until.text)
	}
	return filter, faults
}
