package submit_test

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"verdict/internal/broker"
	"verdict/internal/bulk/submit"
)

func TestSubmitContinuesByStatusWithoutItsJournal(t *testing.T) {
	inSubmitWorld(t, 2000, func(t *testing.T, w *submitWorld) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.submit(ctx, func(o *submit.Options) { o.Rate = 1000 }); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		elsewhere := func(o *submit.Options) { o.Journal, o.Host = w.file+".other", "elsewhere" }
		_, err := w.submit(t.Context(), elsewhere)
		if err == nil || !strings.Contains(err.Error(), "is being sent by here, whose status in Kafka is") {
			t.Errorf("at once, elsewhere: %v", err)
		}
		if _, err := os.Stat(w.file + ".other"); !os.IsNotExist(err) {
			t.Errorf("the refused submit left a journal: %v", err)
		}
		time.Sleep(2 * time.Minute)
		done, err := w.submit(t.Context(), elsewhere)
		if err != nil || done.Earlier+done.Sent != 2000 || done.Earlier < 500 {
			t.Errorf("elsewhere: %+v, %v", done, err)
		}
		w.checkOnce()
		// The machine that started it learns that it is done.
		_, err = w.submit(t.Context())
		if _, ok := errors.AsType[*submit.AlreadySentError](err); !ok {
			t.Errorf("on the first machine: %v", err)
		}
		w.checkOnce()
	})
}

// TestSubmitStopsWhenItsBatchWasTakenOver cuts a submit off for so long that another
// machine continues its batch.
func TestSubmitStopsWhenItsBatchWasTakenOver(t *testing.T) {
	inSubmitWorld(t, 2000, func(t *testing.T, w *submitWorld) {
		other := w.connect() // not cut off
		defer other.Close()
		var cut atomic.Bool
		far, err := broker.NewConnection(broker.Options{Brokers: w.cluster.Addrs(), DialFunc: func(ctx context.Context, network, address string) (net.Conn, error) {
			if cut.Load() {
				return nil, errors.New("cut off")
			}
			return w.network.DialContext(ctx, network, address)
		}})
		if err != nil {
			t.Fatal(err)
		}
		var first sync.WaitGroup
		first.Go(func() {
			defer far.Close()
			_, err := w.submit(t.Context(), func(o *submit.Options) { o.Rate, o.Connection = 500, far })
			if err == nil || !strings.Contains(err.Error(), "was taken over by elsewhere") {
				t.Errorf("the first: %v", err)
			}
		})
		time.Sleep(time.Second)
		before := w.lines()
		cut.Store(true)
		w.network.Cut() // open connections
		w.network.Mend()
		time.Sleep(2 * time.Minute)
		done, err := w.submit(t.Context(), func(o *submit.Options) {
			o.Connection, o.Host, o.Journal, o.Rate = other, "elsewhere", w.file+".other", 100
			o.OnStart = func(int64) { cut.Store(false) }
		})
		if err != nil || done.Earlier < int64(len(before)) || done.Earlier+done.Sent != 2000 {
			t.Errorf("elsewhere: %+v, %v", done, err)
		}
		first.Wait()
		w.checkOnce()
	})
}
