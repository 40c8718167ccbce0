package control

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

// Rate sets the group's rate in calls a second, for a time from now on; 0: until another
// rate. A rate of 0 is the configured one.
func Rate(ctx context.Context, o store.Options, perSecond float64, lasts time.Duration) (Made, error) {
	return change(ctx, o, ledger.RateKey(), func(s *ledger.State, before ledger.Entry) (ledger.Entry, map[string]string, error) {
		now := time.Now()
		r := ledger.Rate{PerSecond: perSecond}
		if lasts > 0 {
			r.Until = now.Add(lasts).UTC()
		}
		was := ledger.Rate{}
		was.PerSecond, was.Until = s.Rate(now)
		return ledger.Entry{Rate: &r}, map[string]string{"before": DescribeRate(was), "after": DescribeRate(r)}, nil
	})
}

// DescribeRate says what a rate is, in words.
func DescribeRate(r ledger.Rate) string {
	switch {
	case r.PerSecond == 0:
		return "as configured"
	case r.Until.IsZero():
		return strconv.FormatFloat(r.PerSecond, 'g', -1, 64) + " calls a second"
	}
	return fmt.Sprintf("%s calls a second until %s", strconv.FormatFloat(r.PerSecond, 'g', -1, 64), decision.Time{Time: r.Until})
}
