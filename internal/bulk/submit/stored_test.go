package submit_test

import (
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/broker/embedded"
	"verdict/internal/bulk/submit"
)

func TestSubmitDoesNotRepeatStoredRequests(t *testing.T) {
	inSubmitWorld(t, 2000, func(t *testing.T, w *submitWorld) {
		// The broker stores the records and answers that the request timed out.
		w.cluster.Inject(embedded.Fault{API: embedded.Produce, Topic: laneTopic, Code: int(kafka.RequestTimedOut), Times: 3})
		var cutting sync.WaitGroup
		cutting.Go(func() {
			for range 3 {
				time.Sleep(400 * time.Millisecond)
				w.network.Cut()
				time.Sleep(3 * time.Second)
				w.network.Mend()
			}
		})
		done, err := w.submit(t.Context(), func(o *submit.Options) { o.Rate = 1000 })
		cutting.Wait()
		if err != nil || done.Sent != 2000 {
			t.Errorf("%+v, %v", done, err)
		}
		w.checkOnce()
	})
}
