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
// that matter, ID and state, are checked.
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
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '[' {
		errs, _ := decodeErrors(body)
		return nil, errs, errors.New("not an array of tasks")
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
		return Identity{}, bodyErrors{}, errors.New("not an identity")
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
	return err
}
