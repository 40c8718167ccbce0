package configs

import (
	"testing"

	"verdict/internal/decision"
)

func TestBoundsDescribeThemselves(t *testing.T) {
	for want, b := range map[string]bounds{
		"":                            {},
		"1 to 10":                     {min: "1", max: "10"},
		"1ms or more":                 {min: "1ms"},
		"more than 0s":                {above: "0s"},
		"more than 0s and at most 1h": {above: "0s", max: "1h"},
		"0 or more and below 1, where 0 means nothing": {min: "0", below: "1", zero: "nothing"},
	} {
		if got := b.String(); got != want {
			t.Errorf("%+v: %q, want %q", b, got, want)
		}
	}
}

func TestLargestRecordFitsIntoMaxPendingBytes(t *testing.T) {
	if got := byName["processor.max_pending_bytes"].bounds.min; got != Bytes(decision.MaxRecordSize).String() {
		t.Errorf("the minimum is %s, want the largest record, %s", got, Bytes(decision.MaxRecordSize))
	}
}
