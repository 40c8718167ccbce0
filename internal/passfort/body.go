package passfort

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"verdict/internal/decision"
)

// errTooLarge says that a body exceeds maxBody.
var errTooLarge = fmt.Errorf("body of more than %d bytes", maxBody)

// readBody reads r to its end, up to maxBody. Its memory grows with what arrives, not
// with the length that the header declares.
func readBody(r io.Reader, declared int64) ([]byte, error) {
	const usual = 1 << 10 // bytes
	size := int64(usual)
	if declared >= 0 && declared < 16*usual {
		size = declared + 1 // one more, to see the end without growing
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

// decodeTask decodes one task. A field with an unexpected type stays zero; the fields
// that matter, ID and state, are checked. An answer with neither is not the API's.
func decodeTask(body []byte) (Task, bodyErrors, error) {
	var doc struct {
		Task
		Errors json.RawMessage `json:"errors"`
	}
	if err := decode(body, &doc); err != nil {
		return Task{}, bodyErrors{}, err
	}
	if errs := readErrors(doc.Errors); errs.any {
		return Task{}, errs, nil
	}
	if !decision.ValidID(doc.ID) && doc.State == "" {
		return Task{}, bodyErrors{}, foreignBody("not a task")
	}
	doc.Raw = body
	return doc.Task, bodyErrors{}, doc.check()
}

// check returns an error if t has no ID or no state.
func (t *Task) check() error {
	switch {
	case !decision.ValidID(t.ID):
		return errors.New("not a task: no valid ID")
	case t.State == "":
		return errors.New("not a task: no state")
	}
	return nil
}

// decodeTasks decodes an array of tasks, or the errors in an object.
func decodeTasks(body []byte) ([]Task, bodyErrors, error) {
	if trimmed := bytes.TrimLeft(body, jsonSpace); len(trimmed) == 0 || trimmed[0] != '[' {
		errs, _ := decodeErrors(body)
		return nil, errs, foreignBody("not an array of tasks")
	}
	var elements []json.RawMessage
	if err := decode(body, &elements); err != nil {
		return nil, bodyErrors{}, err
	}
	tasks := make([]Task, len(elements))
	for i, element := range elements {
		err := decode(element, &tasks[i])
		if err == nil {
			err = tasks[i].check()
		}
		if err != nil {
			return nil, bodyErrors{}, fmt.Errorf("task %d of %d: %w", i+1, len(elements), err)
		}
		tasks[i].Raw = element
	}
	return tasks, bodyErrors{}, nil
}

// decodeIdentity decodes the answer of whoami. It must have at least one of the
// documented fields, so that a page with {} does not count as an accepted key.
func decodeIdentity(body []byte) (Identity, bodyErrors, error) {
	var doc struct {
		Identity
		User   json.RawMessage `json:"user"`
		Errors json.RawMessage `json:"errors"`
	}
	if err := decode(body, &doc); err != nil {
		return Identity{}, bodyErrors{}, err
	}
	if errs := readErrors(doc.Errors); errs.any {
		return Identity{}, errs, nil
	}
	if doc.AuditeeName == "" && doc.Institution == (Institution{}) && isEmpty(doc.User) {
		return Identity{}, bodyErrors{}, foreignBody("not an identity")
	}
	doc.Raw = body
	return doc.Identity, bodyErrors{}, nil
}

// decode is json.Unmarshal without the error for fields of an unexpected type, which
// stay zero.
func decode(body []byte, into any) error {
	err := json.Unmarshal(body, into)
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return nil
	}
	if err != nil && !isBlank(body) {
		return foreignBody(err.Error())
	}
	return err
}

// foreignBody says why a body is not the API's.
type foreignBody string

func (f foreignBody) Error() string { return string(f) }

// isForeign reports whether a body is not the API's, given the error of reading or
// decoding it. Of an incomplete body only the beginning tells; an empty one is anyone's.
func isForeign(body []byte, err error) bool {
	if _, ok := errors.AsType[foreignBody](err); ok {
		return true
	}
	return !isBlank(body) && !startsLikeJSON(body)
}

func isBlank(body []byte) bool { return len(bytes.TrimLeft(body, jsonSpace)) == 0 }

// startsLikeJSON reports whether body begins as an object or an array, as every answer
// of the API does.
func startsLikeJSON(body []byte) bool {
	body = bytes.TrimLeft(body, jsonSpace)
	return len(body) > 0 && (body[0] == '{' || body[0] == '[')
}

// describeForeign says in this package's own words what kind of answer is not the API's.
func describeForeign(status int, body []byte) string {
	switch {
	case status >= 300 && status <= 399:
		return "a redirect"
	case status < 200 || status > 499:
		return "not an HTTP status of an answer"
	case isBlank(body):
		return "an empty body"
	case bytes.TrimLeft(body, jsonSpace)[0] == '<':
		return "an HTML page"
	case !startsLikeJSON(body):
		return "a body that is not JSON"
	case success(status):
		return "not the JSON that was asked for"
	}
	return "a body without the API's errors"
}

const jsonSpace = " \t\r\n"
