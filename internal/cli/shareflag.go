package cli

import (
	"fmt"
	"strconv"
	"strings"
)

// shareFlag is the value of a flag that is a share: 5% or 0.05.
type shareFlag struct {
	text  string // empty: not given
	share float64
}

// String returns the value as it was given.
func (f *shareFlag) String() string { return f.text }

// Type returns the name of the value in help.
func (f *shareFlag) Type() string { return "share" }

// Set reads the value.
func (f *shareFlag) Set(s string) error {
	number, percent := strings.CutSuffix(s, "%")
	share, err := strconv.ParseFloat(number, 64)
	if percent {
		share /= 100
	}
	if err != nil || !(share > 0 && share < 1) {
		return fmt.Errorf("must be above 0%% and below 100%%, such as 5%% or 0.05; is %q", s)
	}
	f.text, f.share = s, share
	return nil
}
