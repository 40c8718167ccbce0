package submit_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"verdict/internal/bulk/submit"
)

// TestSubmitContinuesAfterAStop stops a submit at random moments until it is done.
func TestSubmitContinuesAfterAStop(t *testing.T) {
	inSubmitWorld(t, 1500, func(t *testing.T, w *submitWorld) {
		r := rand.New(rand.NewPCG(1, 2))
		for stops := 0; ; stops++ {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+r.IntN(500))*time.Millisecond)
			before := len(w.lines())
			done, err := w.submit(ctx, func(o *submit.Options) { o.Rate = 1000 })
			cancel()
			if err == nil {
				if stops < 3 {
					t.Errorf("only %d stops", stops)
				}
				break
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			if done.Sent > 0 && int(done.Earlier) != before {
				t.Errorf("%d were in the topic, it says %d", before, done.Earlier)
			}
		}
		w.checkOnce()
	})
}

// TestSubmitContinuesAfterACrash gives the next submit a journal from a random moment
// before the end, as a crash leaves it.
func TestSubmitContinuesAfterACrash(t *testing.T) {
	inSubmitWorld(t, 1500, func(t *testing.T, w *submitWorld) {
		r := rand.New(rand.NewPCG(3, 4))
		for range 8 {
			ctx, cancel := context.WithCancel(t.Context())
			var journal []byte
			var watching sync.WaitGroup
			watching.Go(func() {
				time.Sleep(time.Duration(10+r.IntN(400)) * time.Millisecond)
				journal, _ = os.ReadFile(w.options.Journal)
				time.Sleep(time.Duration(r.IntN(150)) * time.Millisecond)
				cancel()
			})
			_, err := w.submit(ctx, func(o *submit.Options) { o.Rate = 1000 })
			cancel()
			watching.Wait()
			if err == nil {
				break
			}
			if len(journal) > 0 {
				if err := os.WriteFile(w.options.Journal, journal, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := w.submit(t.Context()); err != nil {
			if _, ok := errors.AsType[*submit.AlreadySentError](err); !ok {
				t.Fatal(err)
			}
		}
		w.checkOnce()
	})
}

func TestSubmitNoticesARecreatedTopic(t *testing.T) {
	inSubmitWorld(t, 1000, func(t *testing.T, w *submitWorld) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var journal []byte
		var watching sync.WaitGroup
		watching.Go(func() {
			time.Sleep(500 * time.Millisecond)
			journal, _ = os.ReadFile(w.options.Journal)
			cancel()
		})
		if _, err := w.submit(ctx, func(o *submit.Options) { o.Rate = 1000 }); err == nil {
			t.Fatal("want a submit that is stopped")
		}
		watching.Wait()
		if err := os.WriteFile(w.options.Journal, journal, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.cluster.DeleteTopic(laneTopic), w.cluster.CreateTopic(laneTopic, 3, nil)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if _, err := w.submit(t.Context()); err == nil || !strings.Contains(err.Error(), "was the topic deleted and recreated?") {
			t.Errorf("got %v", err)
		}
	})
}
