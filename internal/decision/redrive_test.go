package decision_test

import (
	"reflect"
	"testing"

	"verdict/internal/decision"
)

func TestRedrivenRepeatsTheOriginalAndNamesItsSource(t *testing.T) {
	h := func(key, value string) decision.Header { return decision.Header{Key: key, Value: []byte(value)} }
	original := decision.Record{
		Topic: "task-decisions", Partition: 3, Offset: 41, Key: []byte{0, 255}, Value: []byte("\x00{"),
		Headers: []decision.Header{h("a", "1"), h("verdict-batch-id", "b"), h("a", "2"), {Key: "none"}},
	}
	letter := decision.DeadLetter{Reason: decision.Rejected, Error: "no", Attempts: 1}
	first := letter.Encode("dlq", &original)
	first.Partition, first.Offset = 1, 7

	d, err := decision.ParseDeadLetter(&first)
	if err != nil {
		t.Fatal(err)
	}
	copied := d.Redriven(first.Origin())
	want := decision.Record{Topic: "task-decisions", Key: original.Key, Value: original.Value, Headers: append(original.Headers[:4:4],
		h("verdict-redrives", "1"), h("verdict-redriven-from", "dlq/1/7"), h("verdict-redriven-origin", "task-decisions/3/41"))}
	if !reflect.DeepEqual(copied, want) {
		t.Errorf("got  %+v\nwant %+v", copied, want)
	}

	// It becomes a dead letter a second time and is redriven a second time.
	copied.Partition, copied.Offset = 3, 99
	second := letter.Encode("dlq", &copied)
	second.Partition, second.Offset = 1, 8
	if d, err = decision.ParseDeadLetter(&second); err != nil || d.Redrives != 1 {
		t.Fatalf("%+v, %v", d, err)
	}
	again := d.Redriven(second.Origin())
	want.Headers = append(want.Headers[:4:4],
		h("verdict-redrives", "2"), h("verdict-redriven-from", "dlq/1/8"), h("verdict-redriven-origin", "task-decisions/3/41"))
	if !reflect.DeepEqual(again, want) {
		t.Errorf("got  %+v\nwant %+v", again, want)
	}
	from, _ := decision.RedrivenFrom(&again)
	origin, _ := decision.RedrivenOrigin(&again)
	if from != second.Origin() || origin != original.Origin() || decision.Redrives(&again) != 2 {
		t.Errorf("from %v, origin %v, redrives %d", from, origin, decision.Redrives(&again))
	}
}
