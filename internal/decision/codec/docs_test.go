package codec_test

import (
	"bytes"
	"cmp"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/twmb/franz-go/pkg/sr"

	"verdict/internal/decision"
)

var fence = regexp.MustCompile("(?s)```([^\n`]+)\n(.*?)```\n")

// TestExamplesOfTheEventsPageAreTrue checks each fenced example of docs/events.md
// as the kind that its fence names.
func TestExamplesOfTheEventsPageAreTrue(t *testing.T) {
	page, err := os.ReadFile("../../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	inWorld(t, func(w *world) {
		seen := make(map[string]int)
		var refused error
		var key string // of the first decision
		read := func(what, text string, rec *decision.Record) decision.Decision {
			d, err := w.decoder.Decode(w.Context(), rec)
			if err != nil || d.Task.TaskID != "70ff753d-3c88-ad8a-bd70-73d26c7e40ec" {
				w.Errorf("%s\n%s\nis read as %+v, %v", what, text, d, err)
			}
			return d
		}
		at := time.Date(2026, 11, 1, 6, 0, 29, 0, time.UTC)
		const profile, task = "3ceaaf30-8142-c8ea-91d9-3080f9b439fc", "70ff753d-3c88-ad8a-bd70-73d26c7e40ec"
		for _, block := range fence.FindAllStringSubmatch(string(page), -1) {
			what, text := block[1], block[2]
			seen[what]++
			switch what {
			case "json decision":
				d := read(what, text, record([]byte(text)))
				key = cmp.Or(key, d.Identity().String())
			case "json invalid":
				if _, refused = w.decoder.Decode(w.Context(), record([]byte(text))); refused == nil {
					w.Errorf("%s\nis accepted", text)
				}
			case "text error":
				if strings.TrimSpace(text) != plain(refused) {
					w.Errorf("the page says\n%s\nbut the error is\n%v", text, refused)
				}
			case "json cloudevent":
				rec := record([]byte(text))
				rec.Headers = []decision.Header{{Key: "content-type", Value: []byte("application/cloudevents+json")}}
				if d := read(what, text, rec); d.ID != "d-1" || d.Source != "/kyc/decider" || d.DecidedAt == "" {
					w.Errorf("the event's attributes are not used: %+v", d)
				}
			case "text binary":
				head, body, _ := strings.Cut(text, "\n\n")
				rec := record([]byte(body))
				rec.Headers = headerLines(head)
				if d := read(what, text, rec); d.ID != "d-1" || d.Source != "/kyc/decider" || d.DecidedAt == "" {
					w.Errorf("the event's attributes are not used: %+v", d)
				}
			case "json avro":
				w.seed(1, sr.TypeAvro, text)
				value := encodeAvro(w, text, map[string]any{"id": "d-1", "profile_id": profile, "task_id": task, "state": "COMPLETED_FAIL", "decided_at": at, "reason": "r"})
				if d := read(what, text, record(framed(1, value))); d.ID != "d-1" || d.State != decision.CompletedFail || d.DecidedAt != "2026-11-01T06:00:29Z" || d.Reason != "r" {
					w.Errorf("Avro is read as %+v", d)
				}
			case "proto schema":
				w.seed(2, sr.TypeProtobuf, text)
				value := encodeProto(1, "d-1", 2, profile, 3, task, 4, 2, 5, encodeProto(1, int(at.Unix())), 6, "r")
				if d := read(what, text, record(framed(2, indexed(value, 0)))); d.ID != "d-1" || d.State != decision.CompletedFail || d.DecidedAt != "2026-11-01T06:00:29Z" || d.Reason != "r" {
					w.Errorf("Protobuf is read as %+v", d)
				}
			case "json result":
				if r, err := decision.ParseResult([]byte(text)); err != nil || r.DecisionKey != key {
					w.Errorf("the result is read as %+v, %v; the first decision's key is %s", r, err, key)
				}
				v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
				if err != nil {
					w.Fatal(err)
				}
				fits(w, "result.json", v)
			case "text dead-letter":
				rec := record(nil)
				rec.Headers = headerLines(text)
				if l, err := decision.ParseDeadLetter(rec); err != nil || l.DecisionKey != key {
					w.Errorf("the dead letter is read as %+v, %v; the first decision's key is %s", l, err, key)
				}
				headers := make(map[string]any)
				for _, h := range rec.Headers {
					headers[h.Key] = string(h.Value)
				}
				fits(w, "dead-letter-headers.json", headers)
			default:
				w.Errorf("an example of an unknown kind %q:\n%s", what, text)
			}
		}
		if len(seen) != 9 {
			w.Errorf("the page has examples of the kinds %v", seen)
		}
	})
}

func headerLines(text string) (all []decision.Header) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		all = append(all, decision.Header{Key: name, Value: []byte(value)})
	}
	return all
}

// fits checks a value against a shipped JSON Schema.
func fits(w *world, name string, value any) {
	w.Helper()
	text, err := os.ReadFile("../schema/" + name)
	if err != nil {
		w.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		w.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(name, doc); err != nil {
		w.Fatal(err)
	}
	s, err := c.Compile(name)
	if err != nil {
		w.Fatal(err)
	}
	if err := s.Validate(value); err != nil {
		w.Error(err)
	}
}
