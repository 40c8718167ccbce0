package submit_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"verdict/internal/bulk/submit"
)

func TestJournalIsLockedForOneSubmit(t *testing.T) {
	inSubmitWorld(t, 1000, func(t *testing.T, w *submitWorld) {
		var first sync.WaitGroup
		first.Go(func() {
			if _, err := w.submit(t.Context(), func(o *submit.Options) { o.Rate = 1000 }); err != nil {
				t.Error(err)
			}
		})
		for range 5 {
			time.Sleep(150 * time.Millisecond)
			if _, err := w.submit(t.Context()); !errors.Is(err, submit.ErrJournalBusy) {
				t.Errorf("meanwhile: %v", err)
			}
		}
		first.Wait()
		w.checkOnce()
	})
}
