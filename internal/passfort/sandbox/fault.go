package sandbox

import (
	"fmt"
	"net/http"
	"time"

	"verdict/internal/passfort"
)

// Ending says how a call with a Fault ends.
type Ending uint8

// The endings.
const (
	// Proceed continues as without a Fault, after its Delay.
	Proceed Ending = iota

	// Answer sends the Fault's Status, Header and Body.
	Answer

	// Cut closes the connection, or resets the stream with HTTP/2. If there is a Status,
	// Cut first sends it with Header and Body, as the beginning of a longer answer.
	Cut

	// Hang never answers. It ends when the client gives up or the server closes.
	Hang
)

// Fault makes a call fail. It replaces everything that would happen otherwise: the checks
// of key and rate limit, latency, and errors. The zero Fault has no effect.
type Fault struct {
	Do Ending

	// Act applies a completion first, even of a rejected task, so that only the answer
	// fails. It is ignored with Proceed, for other calls, and if the body is not valid.
	Act bool

	// Delay is the time to wait between Act and the ending. The call also ends if the
	// client is gone.
	Delay time.Duration

	// Status, Header and Body are the answer. Status 0 means 502 for Answer and no answer
	// for Cut.
	Status int
	Header http.Header
	Body   string
}

// Refusal is the Fault of a call that the API itself refuses: an error in its form, with
// the status as the code.
func Refusal(status int) Fault {
	return Fault{Do: Answer, Status: status, Body: fmt.Sprintf(`{"errors":[{"code":%d,"message":%q}]}`, status, http.StatusText(status))}
}

// inject applies f. It reports whether the call proceeds as usual.
func (s *Sandbox) inject(w http.ResponseWriter, r *http.Request, f Fault, call Call, id taskID) bool {
	if f.Act && f.Do != Proceed && call.Operation == passfort.OpComplete && call.State != "" {
		s.complete(id, call.State)
	}
	if !sleep(r.Context(), f.Delay) {
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
		s.send(w, f)
	case Cut:
		if f.Status != 0 {
			s.send(w, f)
			// Send it before the cut, and without a Content-Length.
			_ = http.NewResponseController(w).Flush()
		}
		panic(http.ErrAbortHandler) // makes net/http close the connection
	}
	return false
}

// send writes the answer of a Fault and counts it.
func (s *Sandbox) send(w http.ResponseWriter, f Fault) {
	if f.Status < len(s.counts.byStatus) {
		s.counts.byStatus[f.Status].Add(1)
	}
	for key, values := range f.Header {
		w.Header()[http.CanonicalHeaderKey(key)] = values
	}
	w.WriteHeader(f.Status)
	_, _ = w.Write([]byte(f.Body)) // fails only if the client is gone
}
