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
	want := decision.Record{Topic: "task-decisions", Partition: 3, Key: original.Key, Value: original.Value, Headers: append(original.Headers[:4:4],
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

// A producer can write what it likes into the headers of its own record.
func TestDeadLetterCountsNoRedriveThatAProducerClaims(t *testing.T) {
	h := func(key, value string) decision.Header { return decision.Header{Key: key, Value: []byte(value)} }
	for name, headers := range map[string][]decision.Header{
		"the count alone":            {h("verdict-redrives", "65535")},
		"twice":                      {h("verdict-redrives", "3"), h("verdict-redrives", "65535")},
		"with a letter that is none": {h("verdict-redrives", "65535"), h("verdict-redriven-from", "x"), h("verdict-redriven-origin", "y/1/2")},
		"without the letter":         {h("verdict-redrives", "65535"), h("verdict-redriven-origin", "task-decisions/1/2")},
		"without the origin":         {h("verdict-redrives", "65535"), h("verdict-redriven-from", "dlq/1/2")},
	} {
		letter := decision.DeadLetter{Reason: decision.Rejected, Error: "no", Attempts: 1}
		rec := letter.Encode("dlq", &decision.Record{Topic: "task-decisions", Value: []byte("{}"), Headers: headers})
		if last := rec.Headers[len(rec.Headers)-1]; last.Key != "verdict-redrives" || string(last.Value) != "0" {
			t.Errorf("%s: the letter says %s=%s, want 0", name, last.Key, last.Value)
		}
		if d, err := decision.ParseDeadLetter(&rec); err != nil || d.Redrives != 0 {
			t.Errorf("%s: read as %d redrives, %v", name, d.Redrives, err)
		}
	}
}

func TestEditedRecordSaysWhoChangedIt(t *testing.T) {
	h := func(key, value string) decision.Header { return decision.Header{Key: key, Value: []byte(value)} }
	letter := decision.DeadLetter{Reason: decision.Rejected, Error: "no", Attempts: 1}
	redriven := func(from decision.Record) decision.Record {
		rec := letter.Encode("dlq", &from)
		d, err := decision.ParseDeadLetter(&rec)
		if err != nil {
			t.Fatal(err)
		}
		return d.Redriven(rec.Origin())
	}
	claimed := decision.Record{Topic: "task-decisions", Value: []byte(`{"a":1}`), Headers: []decision.Header{h("verdict-edited-by", "boss")}}
	if by := decision.EditedBy(&claimed); by != "" {
		t.Errorf("a record that was never redriven was changed by %q", by)
	}
	copied := redriven(claimed)
	copied.Edited([]byte(`{"a":2}`), "ops@backoffice\n", []byte(`{"a":2}`))
	if by := decision.EditedBy(&copied); by != "ops@backoffice " || string(copied.Value) != `{"a":2}` {
		t.Errorf("%s by %q", copied.Value, by)
	}
	// A redrive without a change keeps who made the last one, and a second one replaces it.
	again := redriven(copied)
	if by := decision.EditedBy(&again); by != "ops@backoffice " {
		t.Errorf("by %q", by)
	}
	again.Edited([]byte(`{}`), "second", nil)
	n := 0
	for _, header := range again.Headers {
		if header.Key == decision.HeaderEditedBy || header.Key == decision.HeaderEdit {
			n++
		}
	}
	if by := decision.EditedBy(&again); by != "second" || n != 2 {
		t.Errorf("by %q, %d headers", by, n)
	}
}
