package decision

import (
	"bytes"
	"encoding/json"
)

// Members calls each with the name and the raw value of every member of a JSON
// object, in order, repeated names included. It reports whether value is an
// object; if it is not, each was not called.
func Members(value []byte, each func(name, raw []byte)) bool {
	if !json.Valid(value) || bytes.TrimSpace(value)[0] != '{' {
		return false
	}
	members(value, each)
	return true
}

// members is Members for an object that has passed json.Valid: a value then ends at
// the first comma or brace outside of strings and nested values, and nothing here
// has to check for the end of the input or for errors.
func members(object []byte, each func(name, raw []byte)) {
	i := skipSpace(object, 0) + 1 // past {
	for {
		i = skipSpace(object, i)
		if object[i] == '}' {
			return
		}
		end := stringEnd(object, i)
		key := unquoteKey(object[i:end])
		i = skipSpace(object, end) + 1 // past :
		i = skipSpace(object, i)
		end = valueEnd(object, i)
		each(key, object[i:end])
		i = skipSpace(object, end)
		if object[i] == ',' {
			i++
		}
	}
}

func skipSpace(b []byte, i int) int {
	for b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r' {
		i++
	}
	return i
}

// stringEnd returns the index after the string that begins at i.
func stringEnd(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// valueEnd returns the index after the value that begins at i.
func valueEnd(b []byte, i int) int {
	depth := 0
	for {
		switch b[i] {
		case '"':
			i = stringEnd(b, i)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // the object's own end, after a bare number or word
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
		}
		i++
	}
}

func unquoteKey(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return raw
	}
	return []byte(s)
}
