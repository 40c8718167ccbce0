package submit_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"verdict/internal/broker"
	"verdict/internal/bulk/submit"
	"verdict/internal/decision"
	"verdict/test/fixture"
)

// asBefore makes the world look as if a Verdict without a ledger had sent some of the rows
// of the batch "old", and has it say so.
func (w *submitWorld) asBefore(rows []int, metadata string) {
	w.t.Helper()
	bounds, err := w.here.connection.Bounds(w.t.Context(), laneTopic)
	if err != nil {
		w.t.Fatal(err)
	}
	offsets := make(map[int]broker.GroupOffset)
	for partition, bound := range bounds {
		offsets[partition] = broker.GroupOffset{Offset: bound.End, Metadata: metadata}
	}
	if err := w.here.connection.CommitGroupOffsets(w.t.Context(), group+"-batch-old", laneTopic, offsets); err != nil {
		w.t.Fatal(err)
	}
	text, err := os.ReadFile(w.file)
	if err != nil {
		w.t.Fatal(err)
	}
	lines := bytes.Split(text, []byte("\n"))
	p := broker.NewPublisher(broker.PublisherOptions{Client: w.here.connection.Client()})
	for _, row := range rows {
		value := lines[row-1]
		rec := decision.Record{
			Topic: laneTopic, Value: append(bytes.TrimSuffix(value, []byte("}")), `,"batch_id":"old"}`...),
			Headers: decision.BatchPlace{ID: "old", Line: int64(row), Size: int64(w.rows)}.Headers(),
		}
		if d, err := decision.Decode(&rec); err == nil {
			rec.Key = []byte(d.Task.ProfileID)
		}
		if err := p.Publish(w.t.Context(), rec, func(error) {}); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := p.Close(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// rowsOfOneProfile returns the rows that are about the profile of the first.
func (w *submitWorld) rowsOfOneProfile() (rows []int) {
	w.t.Helper()
	text, err := os.ReadFile(w.file)
	if err != nil {
		w.t.Fatal(err)
	}
	profile := ""
	for i, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		d, err := decision.Decode(&decision.Record{Value: line})
		if err != nil {
			w.t.Fatal(err)
		}
		if i == 0 {
			profile = d.Task.ProfileID
		}
		if d.Task.ProfileID == profile {
			rows = append(rows, i+1)
		}
	}
	return rows
}

// oldMetadata is the metadata of an old status that is an hour old.
func (w *submitWorld) oldMetadata(state, content string, age time.Duration) string {
	return fmt.Sprintf("verdict-batch-1 %s %d %s %s a machine", state, w.rows, content, decision.Time{Time: time.Now().Add(-age)})
}

// content returns the hash of the file.
func (w *submitWorld) content() string {
	w.t.Helper()
	text, err := os.ReadFile(w.file)
	if err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

func TestSubmitCarriesOverWhatAnOlderVerdictBegan(t *testing.T) {
	inSubmitWorld(t, 1000, func(t *testing.T, w *submitWorld) {
		w.check.BatchID = "old"
		stored := w.rowsOfOneProfile() // one after the other, like the partitions of the first edition
		w.asBefore(stored, w.oldMetadata("sending", w.content(), time.Hour))
		ctx, cancel := context.WithTimeout(t.Context(), 550*time.Millisecond)
		defer cancel()
		done, err := w.submit(ctx, rate(1000))
		if !errors.Is(err, context.DeadlineExceeded) || done.Earlier != int64(len(stored)) || !done.Began.IsZero() {
			t.Errorf("%+v, %v; want a submit that is stopped", done, err)
		}
		// The last of the stored rows are found once more.
		if done, err = w.submit(t.Context()); err != nil || done.Earlier < 300 || done.Earlier+done.Sent != 1000 || !done.Began.IsZero() {
			t.Errorf("%+v, %v", done, err)
		}
		w.checkOnce()
		if got := w.acts(); !strings.HasPrefix(got, "here carried over from an older Verdict (0 of 1000 sent), here went on (") {
			t.Errorf("acts: %s", got)
		}
	})
}

func TestSubmitKnowsWhatAnOlderVerdictSent(t *testing.T) {
	inSubmitWorld(t, 100, func(t *testing.T, w *submitWorld) {
		w.check.BatchID = "old"
		w.asBefore(nil, w.oldMetadata("sent", w.content(), time.Hour))
		for range 2 { // by its status, and by the ledger
			_, err := w.submit(t.Context())
			if sent, ok := errors.AsType[*submit.AlreadySentError](err); !ok || sent.Size != 100 || time.Since(sent.At) < time.Hour || !strings.Contains(err.Error(), "by an older Verdict on a machine") {
				t.Errorf("%v", err)
			}
		}
		if b := w.theBatch(); b.Ended.IsZero() || b.Sent != 100 || !b.FirstEdition {
			t.Errorf("the ledger says %+v", b)
		}
	})
}

func TestSubmitRefusesWhatContradictsAnOlderVerdict(t *testing.T) {
	for name, test := range map[string]struct {
		metadata func(w *submitWorld) string
		want     string
	}{
		"other content":  {func(w *submitWorld) string { return w.oldMetadata("sending", "x", time.Hour) }, "was started with other content, according to Kafka (group verdict-batch-old)"},
		"another size":   {func(w *submitWorld) string { w.rows++; return w.oldMetadata("sending", w.content(), time.Hour) }, "with 101 decisions to send, and now has 100"},
		"still at work":  {func(w *submitWorld) string { return w.oldMetadata("sending", w.content(), time.Second) }, "is being sent by an older Verdict on a machine"},
		"somebody's own": {func(*submitWorld) string { return "mine" }, `not the status of a batch, but "mine"`},
	} {
		t.Run(name, func(t *testing.T) {
			inSubmitWorld(t, 100, func(t *testing.T, w *submitWorld) {
				w.check.BatchID = "old"
				w.asBefore(nil, test.metadata(w))
				if _, err := w.submit(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want %s", err, test.want)
				}
			})
		})
	}
}

// The rows that an older Verdict sent can't be told from those that it did not.
func TestSubmitRefusesWhatRetentionMayHaveDeleted(t *testing.T) {
	inSubmitWorld(t, 100, func(t *testing.T, w *submitWorld) {
		w.check.BatchID = "old"
		w.asBefore([]int{1, 2, 3, 4, 5, 6, 7, 8, 9}, w.oldMetadata("sending", w.content(), time.Hour))
		fixture.DeleteRecords(t, w.cluster, w.network, laneTopic, 0, 1)
		if _, err := w.submit(t.Context()); err == nil || !strings.Contains(err.Error(), "may have been deleted: topic decisions partition 0 begins at offset 1, but the batch began at 0") {
			t.Errorf("got %v", err)
		}
	})
}
