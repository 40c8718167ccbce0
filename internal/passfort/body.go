package passfort

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"verdict/internal/decision"
)

// maxFaults is how many errors of a body are looked at.
const maxFaults = 16

// faults are the errors that a body names.
type faults struct {
	any     bool
	codes   []int
	message string
}

var errTooLarge = fmt.Errorf("body of more than %d bytes", maxBody)

// readBody reads r to its end, or errTooLarge. The memory it takes follows what
// comes, not what the header declares.
func readBody(r io.Reader, declared int64) ([]byte, error) {
	const usual = 1 << 10
	size := int64(usual)
	if declared >= 0 && declared < 16*usual {
		size = declared + 1 // one more, so that the end is seen without growing
	}
	body := make([]byte, 0, size)
	for {
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case len(body) > maxBody:
			return body[:maxBody], errTooLarge
		case err == io.EOF:
			return body, nil
		case err != nil:
			return body, err
		}
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
	}
}

// decodeTask reads one task. A field of another type than expected is left zero:
// what matters, ID and state, is checked.
func decodeTask(body []byte) (Task, faults, error) {
	var doc struct {
		Task
		Errors json.RawMessage `json:"errors"`
	}
	if err := decode(body, &doc); err != nil {
		return Task{}, faults{}, err
	}
	if f := readFaults(doc.Errors); f.any {
		return Task{}, f, nil
	}
	doc.Raw = body
	return doc.Task, faults{}, doc.check()
}

// check says whether what was decoded is a task at all.
func (t *Task) check() error {
	switch {
	case !decision.ValidID(t.ID):
		return errors.New("not a task: no ID")
	case t.State == "":
		return errors.New("not a task: no state")
	}
	return nil
}

// decodeTasks reads a bare array of tasks, or the object of an error.
func decodeTasks(body []byte) ([]Task, faults, error) {
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '[' {
		f, _ := decodeFaults(body)
		return nil, f, errors.New("not an array of tasks")
	}
	var elements []json.RawMessage
	if err := decode(body, &elements); err != nil {
		return nil, faults{}, err
	}
	tasks := make([]Task, len(elements))
	for i, element := range elements {
		err := decode(element, &tasks[i])
		if err == nil {
			err = tasks[i].check()
		}
		if err != nil {
			return nil, faults{}, fmt.Errorf("task %d of %d: %w", i+1, len(elements), err)
		}
		tasks[i].Raw = element
	}
	return tasks, faults{}, nil
}

// decodeIdentity reads the answer of whoami. At least one of the published keys
// must be there: any page that says {} must not count as a good key.
func decodeIdentity(body []byte) (Identity, faults, error) {
	var doc struct {
		Identity
		User   json.RawMessage `json:"user"`
		Errors json.RawMessage `json:"errors"`
	}
	if err := decode(body, &doc); err != nil {
		return Identity{}, faults{}, err
	}
	if f := readFaults(doc.Errors); f.any {
		return Identity{}, f, nil
	}
	if doc.AuditeeName == "" && doc.Institution == (Institution{}) && nothing(doc.User) {
		return Identity{}, faults{}, errors.New("not an identity")
	}
	doc.Raw = body
	return doc.Identity, faults{}, nil
}

// decode is json.Unmarshal that takes no offence at a field of an unexpected
// type; the decoder goes on after one.
func decode(body []byte, into any) error {
	err := json.Unmarshal(body, into)
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return nil
	}
	return err
}

// decodeFaults reads the body of a failure, and says whether it was JSON. A
// message outside errors, as gateways send it, is taken where errors has none.
func decodeFaults(body []byte) (f faults, isJSON bool) {
	if !json.Valid(body) {
		return faults{}, false
	}
	var doc struct {
		Errors json.RawMessage `json:"errors"`
	}
	_ = decode(body, &doc) // valid JSON; another shape leaves Errors empty
	f = readFaults(doc.Errors)
	if f.message == "" {
		f.message = entryMessage(body)
	}
	return f, true
}

// readFaults reads the key errors: an array or a single object, by what the API
// documents, and whatever else may come. Nothing in it is no error; anything is.
func readFaults(raw json.RawMessage) faults {
	if nothing(raw) {
		return faults{}
	}
	entries := []json.RawMessage{raw}
	if raw[0] == '[' {
		if err := json.Unmarshal(raw, &entries); err != nil {
			entries = nil // can't be: raw was part of valid JSON
		}
	}
	f := faults{any: true}
	var messages []string
	for _, entry := range entries[:min(len(entries), maxFaults)] {
		if code, ok := entryCode(entry); ok {
			f.codes = append(f.codes, code)
		}
		if m := entryMessage(entry); m != "" {
			messages = append(messages, m)
		}
	}
	f.message = strings.Join(messages, "; ")
	return f
}

// nothing says whether a value means "none".
func nothing(raw json.RawMessage) bool {
	switch string(raw) {
	case "", "null", "false", `""`:
		return true
	}
	// [] and {} may have white space inside.
	return (raw[0] == '[' || raw[0] == '{') && len(bytes.TrimSpace(raw[1:len(raw)-1])) == 0
}

// entryCode takes an integer, also one written as 204.0 or "204".
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

// entryMessage is an error's text: a string itself, the first of the usual keys,
// else the value as it stands.
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
	if nothing(entry) {
		return ""
	}
	return string(entry)
}
