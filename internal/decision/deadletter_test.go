package decision_test

import (
	"fmt"
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
		Reason: decision.TaskNotFound, Error: "no such task", HTTPStatus: 404, Attempts: 1, DecisionID: "dec-1",
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

func TestDeadLetterRepeatsTheRecordAndThenSaysWhatHappened(t *testing.T) {
	from, d := original(), letter()
	rec := d.Record("task-decisions-dlq", from)
	if rec.Topic != "task-decisions-dlq" || string(rec.Key) != string(from.Key) || string(rec.Value) != string(from.Value) {
		t.Errorf("got %+v", rec)
	}
	want := append(lines(from.Headers),
		`verdict-reason="task_not_found"`,
		`verdict-error="no such task"`,
		`verdict-http-status="404"`,
		`verdict-attempts="1"`,
		`verdict-decision-id="dec-1"`,
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

func TestDeadLetterLeavesOutWhatThereIsNot(t *testing.T) {
	d := decision.DeadLetter{Reason: decision.InvalidEvent, Error: "empty"}
	rec := d.Record("dlq", &decision.Record{Topic: "t"})
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
			decision.Header{Key: decision.HeaderRedrives, Value: []byte(value)})
		if got := decision.Redrives(from); got != want {
			t.Errorf("%q: %d redrives; want %d", value, got, want)
		}
		d := letter()
		rec := d.Record("dlq", from)
		if last := lines(rec.Headers)[len(rec.Headers)-1]; last != fmt.Sprintf(`verdict-redrives="%d"`, want) {
			t.Errorf("%q: %s", value, last)
		}
	}
	if got := decision.Redrives(original()); got != 0 {
		t.Errorf("%d redrives without the header", got)
	}
}

func TestDeadLettersErrorIsOneBoundedLine(t *testing.T) {
	d := letter()
	d.Error = "line 1\r\nline 2\x00\xff\u2028" + strings.Repeat("ü", 1000)
	rec := d.Record("dlq", original())
	i := slices.IndexFunc(rec.Headers, func(h decision.Header) bool { return h.Key == decision.HeaderError })
	got := string(rec.Headers[i].Value)
	if !strings.HasPrefix(got, "line 1  line 2 \uFFFD ü") || !strings.HasSuffix(got, "ü…") || len(got) > decision.MaxErrorSize || !utf8.ValidString(got) {
		t.Errorf("got %d bytes: %q", len(got), got)
	}
}

func TestWithoutValueStillPointsAtTheOriginal(t *testing.T) {
	from, d := original(), letter()
	full := d.Record("dlq", from)
	rec := decision.WithoutValue(full)
	want := append(lines(full.Headers[len(from.Headers):]), fmt.Sprintf(`verdict-value-omitted="%d"`, len(from.Value)))
	if got := lines(rec.Headers); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if rec.Value != nil || string(rec.Key) != string(from.Key) || rec.Topic != "dlq" {
		t.Errorf("got %+v", rec)
	}
	if full.Value == nil || len(full.Headers) != len(from.Headers)+12 {
		t.Error("the full dead letter was changed")
	}
}

func TestWithoutValueIsSmallWhateverWasLarge(t *testing.T) {
	from, d := original(), letter()
	from.Key = make([]byte, 1<<20)
	from.Headers = []decision.Header{{Key: "verdict-x", Value: make([]byte, 1<<20)}}
	d.Error, d.Instance = strings.Repeat("e", 1<<20), strings.Repeat("i", 1<<20)
	rec := decision.WithoutValue(d.Record("dlq", from))
	if rec.Size() > 4<<10 || rec.Key != nil {
		t.Errorf("%d bytes, key of %d", rec.Size(), len(rec.Key))
	}
}

func FuzzOneLine(f *testing.F) {
	f.Add("", 0)
	f.Add("a\nb", 2)
	f.Add("üüü", 3)
	f.Add("\xff\xfe\u2028\u0085", 7)
	f.Add(strings.Repeat("ü", 600), decision.MaxErrorSize)
	f.Fuzz(func(t *testing.T, s string, size int) {
		if size < 0 || size > 1<<16 {
			return
		}
		got := decision.OneLine(s, size)
		if len(got) > size || !utf8.ValidString(got) || strings.ContainsFunc(got, unicode.IsControl) || strings.ContainsAny(got, "\u2028\u2029") {
			t.Errorf("OneLine(%q, %d) = %q", s, size, got)
		}
		if again := decision.OneLine(got, size); again != got {
			t.Errorf("not stable: %q then %q", got, again)
		}
	})
}
