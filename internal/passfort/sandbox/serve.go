package sandbox

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
)

// Codes of errors in bodies, as the API documents them. For other errors, whose codes
// it does not document, the sandbox uses the HTTP status.
const (
	codeInvalidInput = 201
	codeInvalidKey   = 204
)

const (
	root      = "/4.0"
	statsPath = "/_sandbox/stats"
	maxBody   = 64 << 10 // bytes of a request's body
)

// ServeHTTP answers one call. It checks the key and the rate limit, waits for the
// latency, fails some calls at random, and applies the others, in this order.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, isAPI := strings.CutPrefix(r.URL.Path, root)
	if !isAPI || path != "" && path[0] != '/' {
		s.serveStats(w, r)
		return
	}
	number := s.counts.begin()
	defer s.counts.end()

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
		a.writeHeaders(w.Header(), now)
		if !a.granted {
			s.refuse(w, http.StatusTooManyRequests, http.StatusTooManyRequests, "rate limit exceeded")
			return
		}
	}
	n := s.counts.accepted.Add(1)
	if !s.options.wait(r.Context(), n) {
		return // the client is gone
	}
	if s.options.fails(n) {
		s.refuse(w, http.StatusServiceUnavailable, http.StatusServiceUnavailable, "service unavailable")
		return
	}
	s.apply(w, call, id)
}

// apply does what a call asks for and answers it.
func (s *Sandbox) apply(w http.ResponseWriter, call Call, id taskID) {
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
		s.applyToTask(w, call, id)
	default:
		s.refuse(w, http.StatusNotFound, http.StatusNotFound, "no such path, or not with this method")
	}
}

// applyToTask reads or completes a task.
func (s *Sandbox) applyToTask(w http.ResponseWriter, call Call, id taskID) {
	task, known, variant := findTask(s.options.profile(id.profile), id.task)
	if s.options.rejects(id) || variant {
		s.refuse(w, http.StatusNotFound, http.StatusNotFound, "no such task")
		return
	}
	state := call.State
	switch {
	case call.Operation == passfort.OpGetTask:
		state = states[s.remember(id)]
	case state == "":
		s.refuse(w, http.StatusUnprocessableEntity, codeInvalidInput, "invalid input data: want state COMPLETED_PASS or COMPLETED_FAIL")
		return
	default:
		s.complete(id, state)
	}
	if !known {
		task.ID = formatID(id.task)
	}
	task.State = state
	s.answer(w, http.StatusOK, appendTask(make([]byte, 0, 512), s.started, &task))
}

// complete puts the task into state.
func (s *Sandbox) complete(id taskID, state decision.State) {
	s.counts.completions.Add(1)
	if s.tasks.complete(id, s.options.initial(id), state) {
		s.counts.repeatCompletions.Add(1)
	}
}

// serveStats answers GET /_sandbox/stats, and 404 for everything outside the API.
func (s *Sandbox) serveStats(w http.ResponseWriter, r *http.Request) {
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
	_ = json.NewEncoder(w).Encode(s.Stats()) // fails only if the client is gone
}
