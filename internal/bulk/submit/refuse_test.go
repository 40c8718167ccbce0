package submit_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"verdict/internal/bulk/submit"
)

func TestSubmitRefusesWhatContradictsTheJournal(t *testing.T) {
	inSubmitWorld(t, 500, func(t *testing.T, w *submitWorld) {
		refused := func(want string) {
			t.Helper()
			if _, err := w.submit(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		}
		w.check.BatchID = "b"
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if _, err := w.submit(ctx, func(o *submit.Options) { o.Rate = 1000 }); err == nil {
			t.Fatal("want a submit that is stopped")
		}
		w.check.Rows.Set = map[string]string{"source": "x"}
		refused(`batch b was started with --set "batch_id=b" and 500 decisions to send, and now has --set "batch_id=b" --set "source=x" and 500; give the same flags`)
		w.check.Rows.Set = nil
		w.check.BatchID = "other"
		refused("batch b of " + w.file + " was started and not finished")
		w.write(w.file, 500, 2)
		refused("batch b of " + w.file + " was started and not finished")
		w.check.BatchID = "b"
		refused("batch b was started with other content")
		w.write(w.file, 500, 1)
		if _, err := w.submit(t.Context()); err != nil {
			t.Error(err)
		}
		w.checkOnce()
	})
}
