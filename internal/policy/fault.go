package policy

import "strconv"

// Fault is one thing that is wrong with a policy file.
type Fault struct {
	File  string
	Line  int    // from 1; 0: the whole file
	Key   string // such as policies[0].fail.times, or empty
	Wrong string
	Want  string // what would be right; empty: Wrong says it
}

// Error returns the fault in one line.
func (f Fault) Error() string {
	s := f.Place() + ": "
	if f.Key != "" {
		s += f.Key + ": "
	}
	s += f.Wrong
	if f.Want != "" {
		s += "; " + f.Want
	}
	return s
}

// Place returns file:line, or the file alone.
func (f Fault) Place() string {
	if f.Line == 0 {
		return f.File
	}
	return f.File + ":" + strconv.Itoa(f.Line)
}
