package decision

import "strings"

// Traceparent returns the trace that a record's headers name. It returns "" if
// there is none or if it does not have the form of version 00. The first header
// of the name counts.
func Traceparent(headers []Header) string {
	for _, h := range headers {
		if strings.EqualFold(h.Key, HeaderTraceparent) {
			if validTraceparent(h.Value) {
				return string(h.Value)
			}
			return ""
		}
	}
	return ""
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
