package sandbox

import (
	"net/http"
	"time"

	"verdict/internal/passfort"
)

// Ending is how a call with a Fault ends.
type Ending uint8

// The endings.
const (
	// Proceed goes on as without a Fault, after its Delay.
	Proceed Ending = iota

	// Answer answers with the Fault's Status, Header and Body.
	Answer

	// Cut closes the connection (with HTTP/2: resets the stream). With a Status,
	// that and Header and Body are sent first, as an answer that never ends.
	Cut

	// Hang never answers. It ends when the client gives up or the server closes.
	Hang
)

// Fault is a call that goes wrong. It takes the place of all that would happen
// otherwise: key, limit, latency, errors. The zero Fault is none.
type Fault struct {
	Do Ending

	// Act carries a completion out first, rejected tasks included, so that only
	// its answer goes wrong. It means nothing with Proceed, for other calls and
	// for bodies that are not valid.
	Act bool

	// Delay is waited after Act and before the end. A client that is gone before
	// is the end.
	Delay time.Duration

	// Status, Header and Body are the answer. Status 0 means 502 for Answer, and no
	// answer for Cut.
	Status int
	Header http.Header
	Body   string
}

// inject carries f out. It reports whether the call is to go on.
func (s *Sandbox) inject(w http.ResponseWriter, r *http.Request, f Fault, call Call, id taskID) bool {
	if f.Act && f.Do != Proceed && call.Operation == passfort.OpComplete && call.State != "" {
		s.complete(id, call.State)
	}
	if !pause(r, f.Delay) {
		return false
	}
	switch f.Do {
	case Proceed:
		return true
	case Hang:
		<-r.Context().Done()
		return false
	case Answer:
		if f.Status == 0 {
			f.Status = http.StatusBadGateway
		}
	}
	if f.Status != 0 {
		s.send(w, f)
	}
	if f.Do == Cut {
		// net/http's way to end a connection without a word.
		panic(http.ErrAbortHandler)
	}
	return false
}

func (s *Sandbox) send(w http.ResponseWriter, f Fault) {
	if f.Status < len(s.byStatus) {
		s.byStatus[f.Status].Add(1)
	}
	for key, values := range f.Header {
		w.Header()[http.CanonicalHeaderKey(key)] = values
	}
	w.WriteHeader(f.Status)
	_, _ = w.Write([]byte(f.Body)) // the client is gone, if anything
	if f.Do == Cut {
		// So that it is on its way before the cut, and of no declared length.
		_ = http.NewResponseController(w).Flush()
	}
}
