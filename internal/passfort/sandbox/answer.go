package sandbox

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
)

// whoami is the answer of GET /whoami.
const whoami = `{"auditee_name":"Sandbox","institution":{"id":"5a4db0c5-0000-4000-8000-000000000001","logo_url":null,"name":"Sandbox"},"user":null}`

// Type and variant of a task that no profile describes, from the published sample.
const (
	sampleType    = "INDIVIDUAL_VERIFY_IDENTITY"
	sampleVariant = `{"id":"5562c4e4-4d12-b16a-a151-7c9eed6816e9","name":"Verify identity - Sandbox","task_type":"INDIVIDUAL_VERIFY_IDENTITY"}`
)

// appendTask appends a task in the shape of the API's published sample.
func appendTask(b []byte, created time.Time, t *passfort.Task) []byte {
	b = append(b, `{"check_ids":[],"creation_date":"`...)
	b = created.UTC().AppendFormat(b, time.DateTime)
	b = append(b, `","form_instance_ids":[],"id":"`...)
	b = append(b, t.ID...)
	b = append(b, `","is_complete":`...)
	b = strconv.AppendBool(b, t.State != decision.Incomplete)
	b = append(b, `,"is_expired":`...)
	b = strconv.AppendBool(b, t.IsExpired)
	b = append(b, `,"is_skipped":`...)
	b = strconv.AppendBool(b, t.IsSkipped)
	b = append(b, `,"state":"`...)
	b = append(b, t.State...)
	b = append(b, `","type":`...)
	if t.Type == "" && t.Variant == (passfort.Variant{}) {
		b = append(b, `"`+sampleType+`","variant":`...)
		return append(b, sampleVariant+"}"...)
	}
	b = appendJSON(b, t.Type)
	b = append(b, `,"variant":{`...)
	for _, member := range [...][2]string{{"alias", t.Variant.Alias}, {"id", t.Variant.ID}, {"name", t.Variant.Name}, {"task_type", cmp.Or(t.Variant.TaskType, t.Type)}} {
		if member[1] == "" {
			continue // the API leaves out some fields too
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, member[0]...)
		b = append(b, `":`...)
		b = appendJSON(b, member[1])
	}
	return append(b, "}}"...)
}

// appendTasks appends the tasks of a profile.
func (s *Sandbox) appendTasks(b []byte, profile [16]byte) []byte {
	b = append(b, '[')
	for i, t := range s.currentTasks(profile) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendTask(b, s.started, &t)
	}
	return append(b, ']')
}

// jsonType is shared by all answers, which only read it.
var jsonType = []string{"application/json"}

// answer writes an answer and counts it.
func (s *Sandbox) answer(w http.ResponseWriter, status int, body []byte) {
	s.counts.byStatus[status].Add(1)
	w.Header()["Content-Type"] = jsonType
	w.WriteHeader(status)
	_, _ = w.Write(body) // fails only if the client is gone
}

// refuse answers with an error in the API's form. The message must not need escaping
// in JSON.
func (s *Sandbox) refuse(w http.ResponseWriter, status, code int, message string) {
	b := append([]byte(`{"errors":[{"code":`), strconv.Itoa(code)...)
	b = append(b, `,"message":"`...)
	b = append(b, message...)
	s.answer(w, status, append(b, `"}]}`...))
}

// appendJSON appends a text as a JSON string.
func appendJSON(b []byte, s string) []byte {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // never fails for a string
	return append(b, bytes.TrimSuffix(text.Bytes(), []byte("\n"))...)
}
