package codec_test

import (
	"context"
	"errors"
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

// pass returns a decision after the ID of a JSON schema.
func pass(id uint32) *decision.Record {
	return record(framed(id, []byte(`{"profile_id":"`+profileID+`","task_id":"`+taskID+`","state":"COMPLETED_PASS"}`)))
}

// decoding decodes in the background and sends the error when Decode returns.
func (w *world) decoding(ctx context.Context, rec *decision.Record) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := w.decoder.Decode(ctx, rec)
		done <- err
	}()
	return done
}

// stillWaiting fails the test if Decode has returned.
func (w *world) stillWaiting(done <-chan error) {
	w.Helper()
	synctest.Wait()
	select {
	case err := <-done:
		w.Fatalf("it did not wait: %v", err)
	default:
	}
}

func TestDecodeWaitsForARegistryThatCannotBeAsked(t *testing.T) {
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		log    string
	}{
		"error":          {failing(500, `{"error_code":50001,"message":"hunter2"}`), "it answered 500 Internal Server Error\""},
		"unavailable":    {failing(503, "hunter2"), "it answered 503 Service Unavailable\""},
		"too many calls": {failing(429, ""), "it answered 429 Too Many Requests\""},
		"wrong password": {failing(401, `{"error_code":40101,"message":"hunter2 is wrong"}`), "it answered 401 Unauthorized; are user and password in decode.registry_url right?"},
		"forbidden":      {failing(403, ""), "it answered 403 Forbidden; are user and password in decode.registry_url right?"},
		"another server": {failing(404, "<html>404 page not found"), "it answered 404 Not Found; is decode.registry_url right?"},
		"moved": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere.example:1/", http.StatusMovedPermanently)
		}, "it answered 301 Moved Permanently; is decode.registry_url right?"},
		"not JSON":       {failing(200, "<html>"), "unable to decode ok response body"},
		"no schema":      {failing(200, "{}"), "it answered without a schema; is decode.registry_url right?"},
		"endless":        {func(w http.ResponseWriter, r *http.Request) { endless(w, r) }, "http: request body too large"},
		"silent":         {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "context deadline exceeded"},
		"cut off":        {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
		"endless header": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 128<<10)) }, "server response headers exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.seed(1, sr.TypeJSON, `{}`)
				w.answerWith(tc.answer)
				done := w.decoding(w.Context(), pass(1))
				time.Sleep(5 * time.Minute)
				w.stillWaiting(done)
				if reported := w.reported(); !slices.Equal(reported, []bool{true}) {
					w.Errorf("OnState got %v; want that it waits", reported)
				}
				if n := w.asked.Load(); n < 10 || n > 80 {
					w.Errorf("asked %d times in 5 minutes", n)
				}
				w.answerWith(nil)
				if err := <-done; err != nil {
					w.Error(err)
				}
				if reported := w.reported(); !slices.Equal(reported, []bool{true, false}) {
					w.Errorf("OnState got %v; want that it waits no more", reported)
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

func TestSchemaIsFetchedOnceForAllCallers(t *testing.T) {
	inWorld(t, func(w *world) {
		w.seed(1, sr.TypeJSON, `{}`)
		w.answerWith(func(rw http.ResponseWriter, req *http.Request) {
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

func TestFetchGivenUpIsTakenOverByAWaiter(t *testing.T) {
	inWorld(t, func(w *world) {
		w.seed(1, sr.TypeJSON, `{}`)
		w.answerWith(failing(503, ""))
		revoked, cancel := context.WithCancel(w.Context())
		first := w.decoding(revoked, pass(1))
		synctest.Wait()
		second := w.decoding(w.Context(), pass(1))
		time.Sleep(time.Minute)
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			w.Errorf("the first ended with %v", err)
		}
		w.stillWaiting(second)
		w.answerWith(nil)
		if err := <-second; err != nil {
			w.Error(err)
		}
		if reported := w.reported(); reported[len(reported)-1] {
			w.Errorf("OnState got %v", reported)
		}
	})
}

func TestCallerWaitingForATurnCanGiveUp(t *testing.T) {
	inWorld(t, func(w *world) {
		w.answerWith(failing(503, ""))
		ctx, cancel := context.WithCancel(w.Context())
		both := []<-chan error{w.decoding(ctx, pass(1)), w.decoding(ctx, pass(1))}
		time.Sleep(time.Minute)
		cancel()
		for _, done := range both {
			if err := <-done; !errors.Is(err, context.Canceled) {
				w.Error(err)
			}
		}
		if reported := w.reported(); !slices.Equal(reported, []bool{true, false}) {
			w.Errorf("OnState got %v", reported)
		}
	})
}

func TestKnownSchemaNeedsNoRegistry(t *testing.T) {
	inWorld(t, func(w *world) {
		w.seed(1, sr.TypeJSON, `{}`)
		if _, err := w.decoder.Decode(w.Context(), pass(1)); err != nil {
			w.Fatal(err)
		}
		w.answerWith(failing(503, ""))
		time.Sleep(24 * time.Hour)
		if _, err := w.decoder.Decode(w.Context(), pass(1)); err != nil {
			w.Error(err)
		}
	})
}

func TestUnknownIDIsFetchedAgainOnlyAfterAWhile(t *testing.T) {
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
		if reported := w.reported(); reported != nil {
			w.Errorf("OnState got %v", reported)
		}
	})
}

func TestCacheDropsSchemasBeyondItsLimit(t *testing.T) {
	inWorld(t, func(w *world) {
		w.seed(1, sr.TypeJSON, `{}`)
		w.answerWith(func(rw http.ResponseWriter, req *http.Request) {
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
