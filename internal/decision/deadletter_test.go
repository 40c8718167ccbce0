package decision_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"verdict/internal/decision"
)

func original() *decision.Record {
	return &decision.Record{
		Topic: "task-decisions", Partition: 3, Offset: 42,
		Key:   []byte("EA70\x00\xff"),
		Value: []byte("{\"state\":\xff\x00"),
		Headers: []decision.Header{
			{Key: "trace", Value: []byte("\x00\x01\xff")},
			{Key: "", Value: nil},
			{Key: "trace", Value: []byte{}},
			{Key: "verdict-reason", Value: []byte("made up by the sender")},
		},
		Time: time.Date(2026, 11, 1, 7, 0, 29, 123_456_789, time.FixedZone("", 3600)),
	}
}

func letter() decision.DeadLetter {
	return decision.DeadLetter{
		Reason: decision.TaskNotFound, Error: "no such task", HTTPStatus: 404, Attempts: 1, DecisionID: "dec-1", DecisionKey: strings.Repeat("0f", 16),
		FailedAt: decision.Time{Time: time.Date(2026, 11, 1, 6, 0, 31, 0, time.UTC)}, Instance: "verdict-0",
	}
}

func lines(headers []decision.Header) []string {
	var all []string
	for _, h := range headers {
		all = append(all, fmt.Sprintf("%s=%q", h.Key, h.Value))
	}
	return all
}

func TestDeadLetterRepeatsTheRecordAndAddsHeaders(t *testing.T) {
	from, d := original(), letter()
	rec := d.Encode("task-decisions-dlq", from)
	if rec.Topic != "task-decisions-dlq" || string(rec.Key) != string(from.Key) || string(rec.Value) != string(from.Value) {
		t.Errorf("got %+v", rec)
	}
	want := append(lines(from.Headers),
		`verdict-reason="task_not_found"`,
		`verdict-error="no such task"`,
		`verdict-http-status="404"`,
		`verdict-attempts="1"`,
		`verdict-decision-id="dec-1"`,
		`verdict-decision-key="0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"`,
		`verdict-topic="task-decisions"`,
		`verdict-partition="3"`,
		`verdict-offset="42"`,
		`verdict-timestamp="2026-11-01T06:00:29.123Z"`,
		`verdict-failed-at="2026-11-01T06:00:31.000Z"`,
		`verdict-instance="verdict-0"`,
		`verdict-redrives="0"`,
	)
	if got := lines(rec.Headers); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(from.Headers) != 4 {
		t.Error("the original's headers were changed")
	}
}

func TestDeadLetterLeavesOutAbsentHeaders(t *testing.T) {
	d := decision.DeadLetter{Reason: decision.InvalidEvent, Error: "empty"}
	rec := d.Encode("dlq", &decision.Record{Topic: "t"})
	if rec.Key != nil || rec.Value != nil {
		t.Errorf("key %q, value %q; want neither", rec.Key, rec.Value)
	}
	for _, h := range rec.Headers {
		if h.Key == decision.HeaderHTTPStatus || h.Key == decision.HeaderDecisionID {
			t.Errorf("unexpected header %s=%s", h.Key, h.Value)
		}
	}
}

func TestDeadLetterKeepsTheCountOfRedrives(t *testing.T) {
	for value, want := range map[string]int{"2": 2, "": 0, "-1": 0, "a": 0, "99999999999999999999": 0} {
		from := original()
		from.Headers = append(from.Headers,
			decision.Header{Key: decision.HeaderRedrives, Value: []byte("7")}, // the last one counts
			decision.Header{Key: decision.HeaderRedrives, Value: []byte(value)},
			decision.Header{Key: decision.HeaderRedrivenFrom, Value: []byte("dlq/0/1")},
			decision.Header{Key: decision.HeaderRedrivenOrigin, Value: []byte("task-decisions/0/1")})
		if got := decision.Redrives(from); got != want {
			t.Errorf("%q: %d redrives; want %d", value, got, want)
		}
		d := letter()
		rec := d.Encode("dlq", from)
		if last := lines(rec.Headers)[len(rec.Headers)-1]; last != fmt.Sprintf(`verdict-redrives="%d"`, want) {
			t.Errorf("%q: %s", value, last)
		}
	}
	if got := decision.Redrives(original()); got != 0 {
		t.Errorf("%d redrives without the header", got)
	}
}

func TestDeadLetterErrorIsOneBoundedLine(t *testing.T) {
	d := letter()
	d.Error = "line 1\r\nline 2\x00\xff\u2028" + strings.Repeat("ü", 1000)
	rec := d.Encode("dlq", original())
	i := slices.IndexFunc(rec.Headers, func(h decision.Header) bool { return h.Key == decision.HeaderError })
	got := string(rec.Headers[i].Value)
	if !strings.HasPrefix(got, "line 1  line 2 \uFFFD ü") || !strings.HasSuffix(got, "ü…") || len(got) > decision.MaxErrorSize || !utf8.ValidString(got) {
		t.Errorf("got %d bytes: %q", len(got), got)
	}
}

func TestWithoutValueStillPointsAtTheOriginal(t *testing.T) {
	from, d := original(), letter()
	full := d.Encode("dlq", from)
	rec := decision.WithoutValue(full)
	want := append(lines(full.Headers[len(from.Headers):]), fmt.Sprintf(`verdict-value-omitted="%d"`, len(from.Value)))
	if got := lines(rec.Headers); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if rec.Value != nil || string(rec.Key) != string(from.Key) || rec.Topic != "dlq" {
		t.Errorf("got %+v", rec)
	}
	if full.Value == nil || len(full.Headers) != len(from.Headers)+13 {
		t.Error("the full dead letter was changed")
	}
}

func TestWithoutValueIsSmall(t *testing.T) {
	from, d := original(), letter()
	from.Key = make([]byte, 1<<20)
	from.Headers = []decision.Header{{Key: "verdict-x", Value: make([]byte, 1<<20)}}
	d.Error, d.Instance = strings.Repeat("e", 1<<20), strings.Repeat("i", 1<<20)
	rec := decision.WithoutValue(d.Encode("dlq", from))
	if rec.Size() > 4<<10 || rec.Key != nil {
		t.Errorf("%d bytes, key of %d", rec.Size(), len(rec.Key))
	}
}

func TestParseDeadLetterReadsBackWhatWasWritten(t *testing.T) {
	from, d := original(), letter()
	from.Time = from.Time.Truncate(time.Millisecond).UTC()
	from.Headers = append(from.Headers, decision.Header{Key: decision.HeaderRedrives, Value: []byte("2")},
		decision.Header{Key: decision.HeaderRedrivenFrom, Value: []byte("dlq/0/1")}, decision.Header{Key: decision.HeaderRedrivenOrigin, Value: []byte("task-decisions/0/1")})
	rec := d.Encode("dlq", from)

	got, err := decision.ParseDeadLetter(&rec)
	want := decision.DeadRecord{DeadLetter: d, Original: *from, Redrives: 2}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
	if _ = append(got.Original.Headers, decision.Header{Key: "more"}); rec.Headers[len(from.Headers)].Key != decision.HeaderReason {
		t.Error("an append to the original's headers overwrote the dead letter's")
	}
}

func TestParseDeadLetterReportsAnOmittedValue(t *testing.T) {
	from, d := original(), letter()
	rec := decision.WithoutValue(d.Encode("dlq", from))
	got, err := decision.ParseDeadLetter(&rec)
	if err != nil || !got.ValueOmitted || got.Original.Value != nil || len(got.Original.Headers) != 0 || got.Original.Origin() != from.Origin() {
		t.Errorf("got %+v, %v", got, err)
	}
}

// letterWith returns a dead letter with some of its headers changed.
func letterWith(changes map[string]string) *decision.Record {
	d := letter()
	rec := d.Encode("dlq", &decision.Record{Topic: "t", Partition: 1, Offset: 2})
	for i, h := range rec.Headers {
		if value, ok := changes[h.Key]; ok {
			rec.Headers[i].Value = []byte(value)
		}
	}
	return &rec
}

func TestParseDeadLetterToleratesOptionalHeaders(t *testing.T) {
	got, err := decision.ParseDeadLetter(letterWith(map[string]string{
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
		"another record":              {Topic: "dlq", Headers: []decision.Header{{Key: "verdict-topic", Value: []byte("t")}}},
		"a reason that is not a word": letterWith(map[string]string{decision.HeaderReason: "\x1b[31m"}),
		"no topic":                    letterWith(map[string]string{decision.HeaderTopic: ""}),
		"no partition":                letterWith(map[string]string{decision.HeaderPartition: ""}),
		"negative partition":          letterWith(map[string]string{decision.HeaderPartition: "-1"}),
		"negative offset":             letterWith(map[string]string{decision.HeaderOffset: "-1"}),
		"offset past 64 bit":          letterWith(map[string]string{decision.HeaderOffset: "9223372036854775808"}),
	} {
		if got, err := decision.ParseDeadLetter(rec); err == nil || len(err.Error()) > 300 {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

// FuzzParseDeadLetter checks that whatever the headers, the dead letter read from
// them is bounded, can be printed, and survives being written and read again.
func FuzzParseDeadLetter(f *testing.F) {
	f.Add("verdict-reason", "rejected", "verdict-topic", "t", "verdict-partition", "1", "verdict-offset", "2", "verdict-error", "a\x1b[31mb\n")
	f.Add("verdict-reason", "x", "verdict-reason", "expired", "verdict-offset", "-1", "verdict-redrives", "70000", "verdict-attempts", "1e9")
	f.Add("", "", "verdict-timestamp", "0000-01-01T00:00:00Z", "verdict-http-status", "4294967296", "verdict-value-omitted", "", "verdict-partition", "2147483648")
	f.Fuzz(func(t *testing.T, a, b, c, d, e, g, h, i, j, k string) {
		rec := letterWith(nil)
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
			again := got.Encode("dlq", &got.Original)
			back, err := decision.ParseDeadLetter(&again)
			if err != nil || back.Reason != got.Reason || back.Error != got.Error || back.Original.Origin() != got.Original.Origin() || back.Attempts != got.Attempts {
				t.Errorf("got  %+v\nback %+v, %v", got, back, err)
			}
		}
	})
}
