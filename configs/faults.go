package configs

import (
	"strconv"
	"strings"
)

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	Key   string // the key, as known or as it was given
	Wrong string // what is wrong with it
	Want  string // what would be right
	From  string // where it was given: file:line, environment variable or flag; empty: nowhere
}

// Error is the fault in one line.
func (f *Fault) Error() string {
	s := f.Key + ": " + f.Wrong
	if f.Want != "" {
		s += "; " + f.Want
	}
	if f.From != "" {
		s += " (" + f.From + ")"
	}
	return s
}

// Faults is everything that is wrong with a configuration.
type Faults []*Fault

// Error is the faults, one a line.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap is every fault, for errors.As.
func (fs Faults) Unwrap() []error {
	errs := make([]error, len(fs))
	for i, f := range fs {
		errs[i] = f
	}
	return errs
}

// err is nil where there is no fault; a nil Faults in an error would not be.
func (fs Faults) err() error {
	if len(fs) == 0 {
		return nil
	}
	return fs
}

// maxShown is how many bytes of a value a fault repeats.
const maxShown = 80

// shown is a given value as a fault may repeat it: quoted, cut where it is
// long, and not at all where it may hold a password, as user:password@host does.
func shown(text string) string {
	if strings.Contains(text, "@") {
		return "a value with an @"
	}
	if len(text) > maxShown {
		return strconv.Quote(text[:maxShown]) + "…"
	}
	return strconv.Quote(text)
}
