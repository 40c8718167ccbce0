package codec_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"verdict/internal/decision"
	"verdict/internal/decision/codec"
)

// pass is a decision behind the ID of a schema of JSON.
func pass(id uint32) *decision.Record {
	return record(framed(id, []byte(`{"profile_id":"`+profileID+`","task_id":"`+taskID+`","state":"COMPLETED_PASS"}`)))
}

// decoding decodes in the background; the answer comes once it is there.
func (w *world) decoding(ctx context.Context, rec *decision.Record) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := w.decoder.Decode(ctx, rec)
		done <- err
	}()
	return done
}

// nothing says that no answer is there yet.
func (w *world) nothing(done <-chan error) {
	w.Helper()
	synctest.Wait()
	select {
	case err := <-done:
		w.Fatalf("it did not wait: %v", err)
	default:
	}
}

func TestARegistryThatCanNotBeAskedIsWaitedFor(t *testing.T) {
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		log    string
	}{
		"error":          {failing(500, `{"error_code":50001,"message":"hunter2"}`), "it answered 500 Internal Server Error\""},
		"unavailable":    {failing(503, "hunter2"), "it answered 503 Service Unavailable\""},
		"too many":       {failing(429, ""), "it answered 429 Too Many Requests\""},
		"wrong password": {failing(401, `{"error_code":40101,"message":"hunter2 is wrong"}`), "it answered 401 Unauthorized; are user and password in decode.registry_url right?"},
		"forbidden":      {failing(403, ""), "it answered 403 Forbidden; are user and password in decode.registry_url right?"},
		"another server": {failing(404, "<html>404 page not found"), "it answered 404 Not Found; is decode.registry_url right?"},
		"a moved one": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere.example:1/", http.StatusMovedPermanently)
		}, "it answered 301 Moved Permanently; is decode.registry_url right?"},
		"no JSON":        {failing(200, "<html>"), "unable to decode ok response body"},
		"no schema":      {failing(200, "{}"), "it answered without a schema; is decode.registry_url right?"},
		"endless":        {func(w http.ResponseWriter, r *http.Request) { endless(w, r) }, "http: request body too large"},
		"silent":         {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "context deadline exceeded"},
		"cut off":        {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
		"endless header": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 128<<10)) }, "server response headers exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.seed(1, sr.TypeJSON, `{}`)
				w.instead(tc.answer)
				done := w.decoding(w.Context(), pass(1))
				time.Sleep(5 * time.Minute)
				w.nothing(done)
				if told := w.told(); !slices.Equal(told, []bool{true}) {
					w.Errorf("told %v; want that it waits", told)
				}
				if n := w.asked.Load(); n < 10 || n > 80 {
					w.Errorf("asked %d times in 5 minutes", n)
				}
				w.instead(nil)
				if err := <-done; err != nil {
					w.Error(err)
				}
				if told := w.told(); !slices.Equal(told, []bool{true, false}) {
					w.Errorf("told %v; want that it waits no more", told)
				}
				w.mu.Lock()
				logs := w.logs.String()
				w.mu.Unlock()
				if !strings.Contains(strings.ReplaceAll(logs, `\"`, `"`), tc.log) || strings.Count(logs, "level=WARN") != 1 || strings.Count(logs, "answers again") != 1 {
					w.Errorf("logs:\n%s", logs)
				}
			})
		})
	}
}

func endless(w http.ResponseWriter, r *http.Request) {
	for r.Context().Err() == nil {
		if _, err := w.Write(make([]byte, 64<<10)); err != nil {
			return
		}
	}
}

func TestOneSchemaIsLookedUpOnceForAllWhoWaitForIt(t *testing.T) {
	inWorld(t, func(w *world) {
		w.seed(1, sr.TypeJSON, `{}`)
		w.instead(func(rw http.ResponseWriter, req *http.Request) {
			time.Sleep(time.Second)
			w.schemas.Handler().ServeHTTP(rw, req)
		})
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if _, err := w.decoder.Decode(w.Context(), pass(1)); err != nil {
					w.Error(err)
				}
			})
		}
		all.Wait()
		if n := w.asked.Load(); n != 1 {
			w.Errorf("asked %d times", n)
		}
	})
}

func TestALookUpThatIsGivenUpIsTakenOverByWhoWaits(t *testing.T) {
	inWorld(t, func(w *world) {
		w.seed(1, sr.TypeJSON, `{}`)
		w.instead(failing(503, ""))
		revoked, cancel := context.WithCancel(w.Context())
		first := w.decoding(revoked, pass(1))
		synctest.Wait()
		second := w.decoding(w.Context(), pass(1))
		time.Sleep(time.Minute)
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			w.Errorf("the first ended with %v", err)
		}
		w.nothing(second)
		w.instead(nil)
		if err := <-second; err != nil {
			w.Error(err)
		}
		if told := w.told(); told[len(told)-1] {
			w.Errorf("told %v", told)
		}
	})
}

func TestWhoeverWaitsForATurnCanGiveUp(t *testing.T) {
	inWorld(t, func(w *world) {
		w.instead(failing(503, ""))
		ctx, cancel := context.WithCancel(w.Context())
		both := []<-chan error{w.decoding(ctx, pass(1)), w.decoding(ctx, pass(1))}
		time.Sleep(time.Minute)
		cancel()
		for _, done := range both {
			if err := <-done; !errors.Is(err, context.Canceled) {
				w.Error(err)
			}
		}
		if told := w.told(); !slices.Equal(told, []bool{true, false}) {
			w.Errorf("told %v", told)
		}
	})
}

func TestWhatIsKnownNeedsNoRegistry(t *testing.T) {
	inWorld(t, func(w *world) {
		w.seed(1, sr.TypeJSON, `{}`)
		if _, err := w.decoder.Decode(w.Context(), pass(1)); err != nil {
			w.Fatal(err)
		}
		w.instead(failing(503, ""))
		time.Sleep(24 * time.Hour)
		if _, err := w.decoder.Decode(w.Context(), pass(1)); err != nil {
			w.Error(err)
		}
	})
}

func TestAnUnknownIDIsAskedForAgainOnlyAfterAWhile(t *testing.T) {
	inWorld(t, func(w *world) {
		for range 100 {
			if _, err := w.decoder.Decode(w.Context(), pass(1)); err == nil {
				w.Fatal("decoded")
			}
		}
		if n := w.asked.Load(); n != 1 {
			w.Errorf("asked %d times", n)
		}
		w.seed(1, sr.TypeJSON, `{}`)
		time.Sleep(31 * time.Second)
		if _, err := w.decoder.Decode(w.Context(), pass(1)); err != nil {
			w.Error(err)
		}
		if told := w.told(); told != nil {
			w.Errorf("told %v", told)
		}
	})
}

func TestA404WithoutACodeCountsOnceTheRegistryHasShownThatItIsOne(t *testing.T) {
	inWorld(t, func(w *world) {
		w.seed(1, sr.TypeJSON, `{}`)
		if _, err := w.decoder.Decode(w.Context(), pass(1)); err != nil {
			w.Fatal(err)
		}
		w.instead(failing(404, "no such schema"))
		_, err := w.decoder.Decode(w.Context(), pass(2))
		if plain(err) != "value: schema ID 2 is not known to the Schema Registry" {
			w.Error(err)
		}
	})
}

func TestAReferenceThatIsGoneIsSaidAndOneThatWasDeletedIsRead(t *testing.T) {
	inWorld(t, func(w *world) {
		answers := map[string]string{
			"/schemas/ids/1":                 `{"schemaType":"PROTOBUF","schema":"syntax = \"proto3\"; import \"a.proto\"; message M { A a = 1; }","references":[{"name":"a.proto","subject":"a b/c","version":3}]}`,
			"/schemas/ids/2":                 `{"schema":"\"A\"","references":[{"name":"A","subject":"gone","version":1}]}`,
			"/schemas/ids/3":                 `{"schema":"{}","references":[` + references(101) + `]}`,
			"/subjects/a%20b%2Fc/versions/3": `{"subject":"a","version":3,"id":9,"schemaType":"PROTOBUF","schema":"syntax = \"proto3\"; message A {}"}`,
		}
		w.instead(func(rw http.ResponseWriter, req *http.Request) {
			body, ok := answers[req.URL.EscapedPath()]
			switch {
			case strings.HasPrefix(req.URL.Path, "/subjects/many"):
				body = `{"schema":"{}"}`
			case !ok, strings.HasPrefix(req.URL.Path, "/subjects/") && req.URL.Query().Get("deleted") != "true":
				failing(404, `{"error_code":40402}`)(rw, req)
				return
			}
			_, _ = rw.Write([]byte(body))
		})
		for id, want := range map[uint32]string{
			1: "profile_id: missing; task_id: missing; state: missing",
			2: `value: schema ID 2 is made of "gone" in version 1, which the Schema Registry does not know`,
			3: "value: schema ID 3 is made of more than 100 others",
		} {
			if _, err := w.decoder.Decode(w.Context(), record(framed(id, []byte{0}))); plain(err) != want {
				w.Errorf("got  %v\nwant %s", err, want)
			}
		}
	})
}

func references(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`{"name":"r%d","subject":"many","version":%d}`, i, i+1))
	}
	return strings.Join(all, ",")
}

func TestSchemasAreForgottenWhenThereAreTooMany(t *testing.T) {
	inWorld(t, func(w *world) {
		w.seed(1, sr.TypeJSON, `{}`)
		w.instead(func(rw http.ResponseWriter, req *http.Request) {
			_, _ = rw.Write([]byte(`{"schemaType":"JSON","schema":"{}"}`))
		})
		for id := range uint32(1500) {
			if _, err := w.decoder.Decode(w.Context(), pass(id)); err != nil {
				w.Fatal(err)
			}
		}
		if n := codec.Remembered(w.decoder); n != 1000 {
			w.Errorf("%d schemas are remembered", n)
		}
	})
}

// failing answers everything with a status and a body.
func failing(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}
