package passfort

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// maxErrors is how many errors of a body are read.
const maxErrors = 16

// bodyErrors are the errors that a body names.
type bodyErrors struct {
	any        bool   // whether there is one
	documented bool   // whether one has the API's form: a code or a message, in an array or an object
	codes      []int  // of those that have one
	message    string // all messages, joined
}

// decodeErrors decodes the body of a failed call and reports whether it is JSON. If
// the field errors has no message, it takes one from the top level, where gateways
// put it.
func decodeErrors(body []byte) (errs bodyErrors, isJSON bool) {
	if !json.Valid(body) {
		return bodyErrors{}, false
	}
	var doc struct {
		Errors json.RawMessage `json:"errors"`
	}
	_ = decode(body, &doc) // valid JSON: another shape leaves Errors empty
	errs = readErrors(doc.Errors)
	if errs.message == "" {
		errs.message = entryMessage(body)
	}
	return errs, true
}

// readErrors reads the field errors. The API documents an array or a single object,
// with codes and messages; every other non-empty value counts as one error, which is not
// the API's.
func readErrors(raw json.RawMessage) bodyErrors {
	if isEmpty(raw) {
		return bodyErrors{}
	}
	var entries []json.RawMessage
	if raw[0] == '[' {
		_ = json.Unmarshal(raw, &entries) // never fails: raw is part of valid JSON
	} else {
		entries = append(entries, raw)
	}
	structured := raw[0] == '[' || raw[0] == '{'
	errs := bodyErrors{any: true}
	var messages []string
	for _, entry := range entries[:min(len(entries), maxErrors)] {
		code, hasCode := entryCode(entry)
		if hasCode {
			errs.codes = append(errs.codes, code)
		}
		message := entryMessage(entry)
		if message != "" {
			messages = append(messages, message)
		}
		errs.documented = errs.documented || structured && (hasCode || message != "" && message != string(entry))
	}
	errs.message = strings.Join(messages, "; ")
	return errs
}

// isEmpty reports whether a value stands for no errors.
func isEmpty(raw json.RawMessage) bool {
	switch string(raw) {
	case "", "null", "false", `""`:
		return true
	}
	// [] and {} may have white space inside.
	return (raw[0] == '[' || raw[0] == '{') && len(bytes.TrimSpace(raw[1:len(raw)-1])) == 0
}

// entryCode returns the code of an error: an integer, also if written as 204.0 or
// "204".
func entryCode(entry json.RawMessage) (int, bool) {
	var e struct {
		Code json.RawMessage `json:"code"`
	}
	if json.Unmarshal(entry, &e) != nil || len(e.Code) == 0 {
		return 0, false
	}
	text := strings.Trim(string(e.Code), `"`)
	if len(text) > 16 {
		return 0, false
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n != float64(int32(n)) {
		return 0, false
	}
	return int(n), true
}

// entryMessage returns the text of an error: the entry itself if it is a string, the
// first of the usual fields, or the entry as JSON.
func entryMessage(entry json.RawMessage) string {
	var text string
	if json.Unmarshal(entry, &text) == nil {
		return text
	}
	var e struct {
		Message     any `json:"message"`
		Detail      any `json:"detail"`
		Description any `json:"description"`
		Error       any `json:"error"`
		Title       any `json:"title"`
	}
	if json.Unmarshal(entry, &e) == nil {
		for _, v := range []any{e.Message, e.Detail, e.Description, e.Error, e.Title} {
			if s, ok := v.(string); ok && s != "" {
				return s
			}
		}
	}
	if isEmpty(entry) {
		return ""
	}
	return string(entry)
}
