package codec_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
	"verdict/internal/decision/codec"
)

const (
	profileID = "ea70ade9-3de3-1785-203b-68044cd3ecbb"
	taskID    = "a2c4393a-e219-67a4-5ab4-2186952e9038"
	password  = "hunter2"
)

// world is a Schema Registry and a Decoder that reaches it, inside a bubble.
type world struct {
	*testing.T
	schemas *srfake.Registry
	decoder *codec.Decoder
	asked   atomic.Int32                 // requests that reached the registry
	answer  atomic.Pointer[http.Handler] // answers in place of the registry; nil: the registry answers

	mu     sync.Mutex // guards the fields below
	states []bool     // as reported by OnState
	logs   bytes.Buffer
}

func inWorld(t *testing.T, test func(w *world), change ...func(*codec.Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, schemas: srfake.NewRegistry()}
		network := &embedded.Network{}
		listener, err := network.Listen("tcp", "localhost:0")
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
			w.asked.Add(1)
			if user, pass, _ := req.BasicAuth(); user != "me" || pass != password {
				t.Errorf("asked as %q with %q", user, pass)
			}
			if other := w.answer.Load(); other != nil {
				(*other).ServeHTTP(rw, req)
				return
			}
			w.schemas.Handler().ServeHTTP(rw, req)
		})}
		var serving sync.WaitGroup
		serving.Go(func() {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
		})
		defer serving.Wait()
		defer server.Close()
		opts := codec.Options{
			Format:      decision.FormatAuto,
			RegistryURL: "http://me:" + password + "@" + listener.Addr().String(),
			DialContext: network.DialContext,
			Logger:      slog.New(slog.NewTextHandler(locked{w}, nil)),
			OnState: func(waiting bool) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.states = append(w.states, waiting)
			},
		}
		for _, c := range change {
			c(&opts)
		}
		if w.decoder, err = codec.New(opts); err != nil {
			t.Fatal(err)
		}
		defer w.decoder.Close()
		test(w)
		if bytes.Contains(w.logs.Bytes(), []byte(password)) {
			t.Errorf("the password is in the log:\n%s", w.logs.String())
		}
	})
}

type locked struct{ w *world }

func (l locked) Write(p []byte) (int, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.w.logs.Write(p)
}

// answerWith makes h answer in place of the registry; nil lets the registry answer.
func (w *world) answerWith(h http.HandlerFunc) {
	if h == nil {
		w.answer.Store(nil)
		return
	}
	var handler http.Handler = h
	w.answer.Store(&handler)
}

// reported returns the calls of OnState so far.
func (w *world) reported() []bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.states)
}

func (w *world) seed(id int, kind sr.SchemaType, text string, refs ...sr.SchemaReference) {
	w.Helper()
	w.schemas.SeedSchema(fmt.Sprint("subject-", id), 1, id, sr.Schema{Schema: text, Type: kind, References: refs})
}

// framed returns a value after a schema ID.
func framed(id uint32, value []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, id), value...)
}

// inHeader returns a record with the schema's GUID, and for Protobuf the indexes of the
// message, in a header.
func (w *world) inHeader(id int, value []byte, indexes ...int) *decision.Record {
	w.Helper()
	rw := httptest.NewRecorder()
	w.schemas.Handler().ServeHTTP(rw, httptest.NewRequest(http.MethodGet, fmt.Sprintf("/subjects/subject-%d/versions/1", id), nil))
	var schema struct{ GUID string }
	if err := json.Unmarshal(rw.Body.Bytes(), &schema); err != nil {
		w.Fatal(err)
	}
	guid, err := hex.DecodeString(strings.ReplaceAll(schema.GUID, "-", ""))
	if err != nil || len(guid) != 16 {
		w.Fatalf("GUID %q of %s: %v", schema.GUID, rw.Body, err)
	}
	header := append([]byte{1}, guid...)
	if indexes != nil {
		header = append(header, indexed(nil, indexes...)...)
	}
	return &decision.Record{Value: value, Headers: []decision.Header{{Key: "__value_schema_id", Value: header}}}
}

func record(value []byte) *decision.Record {
	return &decision.Record{Topic: "t", Partition: 1, Offset: 2, Value: value}
}

// plain returns an error's text. Package proto writes another kind of space in some
// builds, so that nobody relies on its texts.
func plain(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\u00a0", " ")
}

// failing returns a handler that answers everything with a status and a body.
func failing(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}
