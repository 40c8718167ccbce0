package configs

import (
	"strconv"
	"strings"
)

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	Key   string // the key; an unknown one as it was given
	Wrong string // what is wrong with it
	Want  string // how to fix it; may be empty
	From  string // where it was given: file:line, environment variable or flag; may be empty
}

// Error returns the fault as one line.
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

// Error returns the faults, one per line.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns every fault, for errors.As.
func (fs Faults) Unwrap() []error {
	errs := make([]error, len(fs))
	for i, f := range fs {
		errs[i] = f
	}
	return errs
}

// err returns fs as an error: nil without faults, where an empty Faults in an
// error would not be nil.
func (fs Faults) err() error {
	if len(fs) == 0 {
		return nil
	}
	return fs
}

// maxQuoted is how many bytes of a value a fault repeats.
const maxQuoted = 80

// quote returns a given value for use in a fault: quoted, cut if it is long, and
// left out if it may contain a password, as user:password@host does.
func quote(text string) string {
	if strings.Contains(text, "@") {
		return "a value with an @"
	}
	if len(text) > maxQuoted {
		return strconv.Quote(text[:maxQuoted]) + "…"
	}
	return strconv.Quote(text)
}

// quoteKey returns a given key for use in a fault, quoted only where it needs to be.
func quoteKey(key string) string {
	if len(key) <= maxQuoted && strconv.Quote(key) == `"`+key+`"` && key != "" {
		return key
	}
	return quote(key)
}
