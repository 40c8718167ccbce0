package sandbox

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
)

// read parses r into a Call, and its path into the IDs of a profile and task.
func (s *Sandbox) read(r *http.Request, path string) (call Call, id taskID) {
	call = Call{Time: time.Now(), Operation: OpUnknown, Key: r.Header.Get("Apikey"), Trace: r.Header.Get("Traceparent")}
	// net/http notices that a client is gone only after the body was read.
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

// readState returns the state that a body asks for; empty if the body is not valid.
func readState(r io.Reader) decision.State {
	data, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	if err != nil || len(data) > maxBody {
		return ""
	}
	var body struct {
		State      *decision.State `json:"state"`
		IsComplete *bool           `json:"is_complete"` // the older field; true means COMPLETED_PASS
	}
	if json.Unmarshal(data, &body) != nil {
		return ""
	}
	state := decision.CompletedPass
	switch {
	case body.State != nil:
		state = *body.State
	case body.IsComplete == nil || !*body.IsComplete:
		return ""
	}
	if state != decision.CompletedPass && state != decision.CompletedFail {
		return ""
	}
	return state
}
