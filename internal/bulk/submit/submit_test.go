package submit_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/broker/embedded"
	"verdict/internal/bulk/submit"
)

func TestSubmitSendsEachRowOnce(t *testing.T) {
	inSubmitWorld(t, 1234, func(t *testing.T, w *submitWorld) {
		var acknowledged atomic.Int64
		began, at := int64(-1), time.Now()
		done, err := w.submit(t.Context(), func(o *submit.Options) {
			o.Acknowledged, o.OnStart = &acknowledged, func(n int64) { began = n }
		})
		if err != nil || done.Earlier != 0 || done.Sent != 1234 || !done.Began.Equal(at) || acknowledged.Load() != 1234 || began != 0 {
			t.Errorf("%+v, %v, %d, %d", done, err, acknowledged.Load(), began)
		}
		w.checkOnce()
		_, err = w.submit(t.Context())
		if sent, ok := errors.AsType[*submit.AlreadySentError](err); !ok || !strings.Contains(err.Error(), "by somebody on here") {
			t.Errorf("the second time: %v, %v", sent, err)
		}
		w.checkOnce()
		if got := w.acts(); got != "here began (0 of 1234 sent), here sent all (1234 of 1234 sent)" {
			t.Errorf("acts: %s", got)
		}
	})
}

func TestSubmitKeepsItsRate(t *testing.T) {
	inSubmitWorld(t, 1000, func(t *testing.T, w *submitWorld) {
		begin := time.Now()
		if _, err := w.submit(t.Context(), rate(100)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < 9800*time.Millisecond || took > 12*time.Second {
			t.Errorf("1000 decisions at 100 a second took %v", took)
		}
	})
}

func TestSubmitWaitsOutLeaderMoves(t *testing.T) {
	inSubmitWorld(t, 1000, func(t *testing.T, w *submitWorld) {
		w.cluster.Inject(embedded.Fault{API: embedded.Produce, Topic: laneTopic, Code: int(kafka.NotLeaderForPartition), Times: 5})
		w.cluster.Inject(embedded.Fault{API: embedded.ListOffsets, Topic: laneTopic, Code: int(kafka.LeaderNotAvailable), Times: 2})
		if _, err := w.submit(t.Context()); err != nil {
			t.Error(err)
		}
		w.checkOnce()
	})
}

func TestSubmitStopsWhenAFileChanges(t *testing.T) {
	inSubmitWorld(t, 2000, func(t *testing.T, w *submitWorld) {
		var changing sync.WaitGroup
		changing.Go(func() {
			time.Sleep(500 * time.Millisecond)
			f, err := os.OpenFile(w.file, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			fmt.Fprintln(f, "{}")
		})
		_, err := w.submit(t.Context(), rate(1000))
		changing.Wait()
		if err == nil || !strings.Contains(err.Error(), "changed while it was being read") {
			t.Errorf("got %v", err)
		}
	})
}

func TestSubmitReportsAnUnreachableCluster(t *testing.T) {
	inSubmitWorld(t, 10, func(t *testing.T, w *submitWorld) {
		w.network.Cut()
		begin := time.Now()
		_, err := w.submit(t.Context())
		if err == nil || !strings.Contains(err.Error(), "read the partitions of topics decisions") || time.Since(begin) > time.Minute {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
	})
}
