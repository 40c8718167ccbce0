package decision

import "strings"

// Trace is a place in a trace, as the headers of the W3C's Trace Context say it
// (https://www.w3.org/TR/trace-context/). The zero value is none.
type Trace struct {
	Parent string // traceparent
	State  string // tracestate; empty: none
}

// maxTracestate is the size in bytes up to which a tracestate is passed on: the least that
// the W3C asks for.
const maxTracestate = 512

// TraceOf returns the trace that a record's headers name: none if its parent does not have
// the form of version 00. The first header of that name counts; headers of the state are
// joined.
func TraceOf(headers []Header) (t Trace) {
	var states []string
	found := false
	for _, h := range headers {
		switch {
		case strings.EqualFold(h.Key, HeaderTraceparent) && !found:
			if found = true; validTraceparent(h.Value) {
				t.Parent = string(h.Value)
			}
		case strings.EqualFold(h.Key, HeaderTracestate) && len(h.Value) <= maxTracestate:
			states = append(states, string(h.Value))
		}
	}
	if state := strings.Join(states, ","); t.Parent != "" && len(state) <= maxTracestate && validTracestate(state) {
		t.State = state
	}
	return t
}

// Headers returns the headers of a record that name the trace.
func (t Trace) Headers() (headers []Header) {
	if t.Parent != "" {
		headers = append(headers, Header{Key: HeaderTraceparent, Value: []byte(t.Parent)})
	}
	if t.State != "" {
		headers = append(headers, Header{Key: HeaderTracestate, Value: []byte(t.State)})
	}
	return headers
}

// validTracestate checks that a state is printable, so that it can be a header of HTTP.
func validTracestate(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// validTraceparent checks for 00-(32 hex)-(16 hex)-(2 hex), in lower case, where
// neither ID is all zeros. A later version may be longer and is not passed on,
// since it could hold anything.
func validTraceparent(b []byte) bool {
	if len(b) != 55 || b[0] != '0' || b[1] != '0' {
		return false
	}
	zeros := [2]bool{true, true} // of the trace ID, of the span ID
	for i, c := range b {
		switch {
		case i == 2 || i == 35 || i == 52:
			if c != '-' {
				return false
			}
		case !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f'):
			return false
		case i > 2 && i < 35:
			zeros[0] = zeros[0] && c == '0'
		case i > 35 && i < 52:
			zeros[1] = zeros[1] && c == '0'
		}
	}
	return zeros == [2]bool{}
}
