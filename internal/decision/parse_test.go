package decision_test

import (
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"verdict/internal/decision"
)

func TestParseDeadLetterReadsBackWhatWasWritten(t *testing.T) {
	from, d := original(), letter()
	from.Time = from.Time.Truncate(time.Millisecond).UTC()
	from.Headers = append(from.Headers, decision.Header{Key: decision.HeaderRedrives, Value: []byte("2")})
	rec := d.Record("dlq", from)

	got, err := decision.ParseDeadLetter(&rec)
	want := decision.DeadRecord{DeadLetter: d, Original: *from, Redrives: 2}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
	if _ = append(got.Original.Headers, decision.Header{Key: "more"}); rec.Headers[len(from.Headers)].Key != decision.HeaderReason {
		t.Error("an append to the original's headers wrote over the dead letter's")
	}
}

func TestParseDeadLetterSaysThatTheValueWasOmitted(t *testing.T) {
	from, d := original(), letter()
	rec := decision.WithoutValue(d.Record("dlq", from))
	got, err := decision.ParseDeadLetter(&rec)
	if err != nil || !got.ValueOmitted || got.Original.Value != nil || len(got.Original.Headers) != 0 || got.Original.Origin() != from.Origin() {
		t.Errorf("got %+v, %v", got, err)
	}
}

// of is a dead letter with these headers in place of those that it has.
func of(changes map[string]string) *decision.Record {
	d := letter()
	rec := d.Record("dlq", &decision.Record{Topic: "t", Partition: 1, Offset: 2})
	for i, h := range rec.Headers {
		if value, ok := changes[h.Key]; ok {
			rec.Headers[i].Value = []byte(value)
		}
	}
	return &rec
}

func TestParseDeadLetterToleratesWhatOnlyInforms(t *testing.T) {
	got, err := decision.ParseDeadLetter(of(map[string]string{
		decision.HeaderReason:     "newer_reason",
		decision.HeaderHTTPStatus: "-1", decision.HeaderAttempts: "many", decision.HeaderFailedAt: "yesterday",
		decision.HeaderTimestamp: "", decision.HeaderRedrives: "1e9",
		decision.HeaderInstance: "a\nb", decision.HeaderError: strings.Repeat("\xff", 1<<16),
	}))
	if err != nil || got.Reason != "newer_reason" || got.HTTPStatus != 0 || got.Attempts != 0 || got.Redrives != 0 ||
		!got.FailedAt.IsZero() || !got.Original.Time.IsZero() || got.Instance != "a b" || len(got.Error) > decision.MaxErrorSize {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestParseDeadLetterRefuses(t *testing.T) {
	for name, rec := range map[string]*decision.Record{
		"another record":     {Topic: "dlq", Headers: []decision.Header{{Key: "verdict-topic", Value: []byte("t")}}},
		"a strange reason":   of(map[string]string{decision.HeaderReason: "\x1b[31m"}),
		"no topic":           of(map[string]string{decision.HeaderTopic: ""}),
		"no partition":       of(map[string]string{decision.HeaderPartition: ""}),
		"negative partition": of(map[string]string{decision.HeaderPartition: "-1"}),
		"negative offset":    of(map[string]string{decision.HeaderOffset: "-1"}),
		"offset past 64 bit": of(map[string]string{decision.HeaderOffset: "9223372036854775808"}),
	} {
		if got, err := decision.ParseDeadLetter(rec); err == nil || len(err.Error()) > 300 {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

// FuzzParseDeadLetter: whatever the headers, what is read is bounded and fit to be
// shown, and says the same when it is written again.
func FuzzParseDeadLetter(f *testing.F) {
	f.Add("verdict-reason", "rejected", "verdict-topic", "t", "verdict-partition", "1", "verdict-offset", "2", "verdict-error", "a\x1b[31mb\n")
	f.Add("verdict-reason", "x", "verdict-reason", "expired", "verdict-offset", "-1", "verdict-redrives", "70000", "verdict-attempts", "1e9")
	f.Add("", "", "verdict-timestamp", "0000-01-01T00:00:00Z", "verdict-http-status", "4294967296", "verdict-value-omitted", "", "verdict-partition", "2147483648")
	f.Fuzz(func(t *testing.T, a, b, c, d, e, g, h, i, j, k string) {
		rec := of(nil)
		rec.Headers = append(rec.Headers, headers(a, b, c, d, e, g, h, i, j, k)...)
		for _, from := range []*decision.Record{rec, {Headers: headers(a, b, c, d, e, g, h, i, j, k)}} {
			got, err := decision.ParseDeadLetter(from)
			if err != nil {
				if len(err.Error()) > 300 {
					t.Errorf("%d bytes of error", len(err.Error()))
				}
				continue
			}
			if got.Original.Partition < 0 || got.Original.Offset < 0 || got.Original.Topic == "" || got.Attempts < 0 || got.Redrives < 0 ||
				len(got.Error) > decision.MaxErrorSize || strings.ContainsFunc(got.Error+got.Instance+got.DecisionID+got.Original.Topic, unicode.IsControl) {
				t.Errorf("got %+v", got)
			}
			again := got.Record("dlq", &got.Original)
			back, err := decision.ParseDeadLetter(&again)
			if err != nil || back.Reason != got.Reason || back.Error != got.Error || back.Original.Origin() != got.Original.Origin() || back.Attempts != got.Attempts {
				t.Errorf("got  %+v\nback %+v, %v", got, back, err)
			}
		}
	})
}
