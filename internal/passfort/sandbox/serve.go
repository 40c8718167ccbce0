package sandbox

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
)

// Codes of errors in bodies. The API's documentation has the first two; the
// others, which are HTTP's own, stand for what it does not publish.
const (
	codeInvalidInput = 201
	codeInvalidKey   = 204
)

const (
	root      = "/4.0"
	statsPath = "/_sandbox/stats"
	maxBody   = 64 << 10
)

// ServeHTTP answers one call: refused for its key, limited, slowed down, failed
// at random, or carried out, in this order.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ours := strings.CutPrefix(r.URL.Path, root)
	if !ours || path != "" && path[0] != '/' {
		s.serveOther(w, r)
		return
	}
	number := s.arrive()
	defer s.inFlight.Add(-1)

	call, id := s.read(r, path)
	call.Number = number
	if s.options.Observe != nil {
		s.options.Observe(call)
	}
	if s.options.Fault != nil {
		if f := s.options.Fault(call); f.Do != Proceed || f.Delay > 0 {
			if !s.inject(w, r, f, call, id) {
				return
			}
		}
	}

	if call.Key != *s.key.Load() {
		s.refuse(w, http.StatusUnauthorized, codeInvalidKey, "invalid API key")
		return
	}
	if s.limiter != nil && call.ProfileID != "" {
		now := time.Now()
		a := s.limiter.take(now)
		a.tell(w.Header(), now)
		if !a.granted {
			s.refuse(w, http.StatusTooManyRequests, http.StatusTooManyRequests, "rate limit exceeded")
			return
		}
	}
	n := s.worked.Add(1)
	if !s.wait(r, n) {
		return // the client is gone: nobody reads an answer
	}
	if rate := s.options.ErrorRate; rate > 0 && share(mix(s.options.Seed, uint64(n))) < rate {
		s.refuse(w, http.StatusServiceUnavailable, http.StatusServiceUnavailable, "service unavailable")
		return
	}
	s.act(w, call, id)
}

// act carries a call out and answers.
func (s *Sandbox) act(w http.ResponseWriter, call Call, id taskID) {
	switch call.Operation {
	case passfort.OpWhoAmI:
		s.answer(w, http.StatusOK, []byte(whoami))
	case OpGetProfile:
		b := append([]byte(`{"id":"`), call.ProfileID...)
		b = append(b, `","applications":[],"checks":[],"tasks":`...)
		s.answer(w, http.StatusOK, append(s.appendTasks(b, id.profile), '}'))
	case passfort.OpListTasks:
		s.answer(w, http.StatusOK, s.appendTasks(nil, id.profile))
	case passfort.OpGetTask, passfort.OpComplete:
		task, known, variant := among(s.profile(id.profile), id.task)
		if s.rejects(id) || variant {
			s.refuse(w, http.StatusNotFound, http.StatusNotFound, "no such task")
			return
		}
		state := call.State
		if call.Operation == passfort.OpGetTask {
			state = states[s.touch(id)]
		} else if state == "" {
			s.refuse(w, http.StatusUnprocessableEntity, codeInvalidInput, "invalid input data: want state COMPLETED_PASS or COMPLETED_FAIL")
			return
		} else {
			s.complete(id, state)
		}
		if !known {
			task.ID = formatID(id.task)
		}
		task.State = state
		s.answer(w, http.StatusOK, s.appendTask(make([]byte, 0, 512), &task))
	default:
		s.refuse(w, http.StatusNotFound, http.StatusNotFound, "no such path, or not with this method")
	}
}

// read is the call that r is, with its task's ID where the path has one.
func (s *Sandbox) read(r *http.Request, path string) (call Call, id taskID) {
	call = Call{Time: time.Now(), Operation: OpUnknown, Key: r.Header.Get("Apikey"), Trace: r.Header.Get("Traceparent")}
	// net/http notices that a client is gone only once the body was read.
	defer func() { _, _ = io.CopyN(io.Discard, r.Body, maxBody) }()
	get := r.Method == http.MethodGet
	if path == "/whoami" {
		if get {
			call.Operation = passfort.OpWhoAmI
		}
		return call, id
	}
	rest, ok := strings.CutPrefix(path, "/profiles/")
	if !ok {
		return call, id
	}
	profile, rest, below := strings.Cut(rest, "/")
	if id.profile, ok = parseID(profile); !ok {
		return call, id
	}
	call.ProfileID = strings.ToLower(profile)
	if !below {
		if get {
			call.Operation = OpGetProfile
		}
		return call, id
	}
	tasks, task, below := strings.Cut(rest, "/")
	switch {
	case tasks != "tasks":
	case !below:
		if get {
			call.Operation = passfort.OpListTasks
		}
	default:
		if id.task, ok = parseID(task); !ok {
			break
		}
		call.TaskID = strings.ToLower(task)
		switch r.Method {
		case http.MethodGet:
			call.Operation = passfort.OpGetTask
		case http.MethodPost:
			call.Operation = passfort.OpComplete
			call.State = readState(r.Body)
		}
	}
	return call, id
}

// readState is the state that a body asks for, empty if it asks for none.
func readState(r io.Reader) decision.State {
	body, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	if err != nil || len(body) > maxBody {
		return ""
	}
	var asked struct {
		State      *decision.State `json:"state"`
		IsComplete *bool           `json:"is_complete"` // the older key; true means COMPLETED_PASS
	}
	if json.Unmarshal(body, &asked) != nil {
		return ""
	}
	state := decision.CompletedPass
	switch {
	case asked.State != nil:
		state = *asked.State
	case asked.IsComplete == nil || !*asked.IsComplete:
		return ""
	}
	if state != decision.CompletedPass && state != decision.CompletedFail {
		return ""
	}
	return state
}

// serveOther answers what is not the API.
func (s *Sandbox) serveOther(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != statsPath {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "want GET", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s.Stats()) // the client is gone, if anything
}

const whoami = `{"auditee_name":"Sandbox","institution":{"id":"5a4db0c5-0000-4000-8000-000000000001","logo_url":null,"name":"Sandbox"},"user":null}`

// What a task is that nobody described: as in the API's published sample.
const (
	sampleType    = "INDIVIDUAL_VERIFY_IDENTITY"
	sampleVariant = `{"id":"5562c4e4-4d12-b16a-a151-7c9eed6816e9","name":"Verify identity - Sandbox","task_type":"INDIVIDUAL_VERIFY_IDENTITY"}`
)

// appendTask appends a task as in the API's published sample.
func (s *Sandbox) appendTask(b []byte, t *passfort.Task) []byte {
	b = append(b, `{"check_ids":[],"creation_date":"`...)
	b = s.started.UTC().AppendFormat(b, time.DateTime)
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
			continue // as with the API, some may be missing
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

func (s *Sandbox) appendTasks(b []byte, profile [16]byte) []byte {
	b = append(b, '[')
	for i, t := range s.all(profile) {
		if i > 0 {
			b = append(b, ',')
		}
		b = s.appendTask(b, &t)
	}
	return append(b, ']')
}

// jsonType is shared by all answers, which only read it.
var jsonType = []string{"application/json"}

func (s *Sandbox) answer(w http.ResponseWriter, status int, body []byte) {
	s.byStatus[status].Add(1)
	w.Header()["Content-Type"] = jsonType
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone, if anything
}

// refuse answers with an error as the API words it. The message is JSON as it
// stands.
func (s *Sandbox) refuse(w http.ResponseWriter, status, code int, message string) {
	b := append([]byte(`{"errors":[{"code":`), strconv.Itoa(code)...)
	b = append(b, `,"message":"`...)
	b = append(b, message...)
	s.answer(w, status, append(b, `"}]}`...))
}
