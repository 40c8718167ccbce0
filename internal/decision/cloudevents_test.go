package decision_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/binding/format"
	"github.com/cloudevents/sdk-go/v2/binding/spec"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"verdict/internal/decision"
)

// sdkRecord is a record written by CloudEvents' own SDK: the SDK chooses what is
// written, and sdkRecord puts it where the Kafka protocol binding wants it.
type sdkRecord struct{ *decision.Record }

func (r sdkRecord) header(key, value string) {
	r.Headers = append(r.Headers, decision.Header{Key: key, Value: []byte(value)})
}

func (r sdkRecord) SetStructuredEvent(_ context.Context, f format.Format, whole io.Reader) (err error) {
	r.header("content-type", f.MediaType())
	r.Value, err = io.ReadAll(whole)
	return err
}

func (r sdkRecord) SetAttribute(a spec.Attribute, value any) error {
	if a.Kind() == spec.DataContentType {
		text, err := types.Format(value)
		r.header("content-type", text)
		return err
	}
	return r.SetExtension(a.Name(), value)
}

func (r sdkRecord) SetExtension(name string, value any) error {
	text, err := types.Format(value)
	r.header("ce_"+name, text)
	return err
}

func (r sdkRecord) SetData(data io.Reader) (err error) {
	r.Value, err = io.ReadAll(data)
	return err
}

func (sdkRecord) Start(context.Context) error { return nil }
func (sdkRecord) End(context.Context) error   { return nil }

// sdkEncode returns the event as a record in one of the two modes.
func sdkEncode(t testing.TB, e event.Event, structured bool) *decision.Record {
	t.Helper()
	rec := sdkRecord{record("")}
	var err error
	if structured {
		_, err = binding.Write(t.Context(), binding.ToMessage(&e), rec, nil)
	} else {
		_, err = binding.Write(t.Context(), binding.ToMessage(&e), nil, rec)
	}
	if err != nil {
		t.Fatal(err)
	}
	return rec.Record
}

func sdkEvent(t testing.TB, contentType, data string) event.Event {
	t.Helper()
	e := event.New()
	e.SetID("ce-1")
	e.SetSource("/kyc/decider?team=ü")
	e.SetType("com.example.task.decided")
	e.SetTime(time.Date(2026, 11, 1, 6, 0, 29, 500_000_000, time.UTC))
	e.SetSubject("ea70")
	e.SetExtension("traceparent", "00-a-b-01")
	if err := e.SetData(contentType, []byte(data)); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestDecodeReadsEventsOfTheSDKInBothModes(t *testing.T) {
	task := decision.Task{ProfileID: profileID, TaskID: taskID}
	for name, tc := range map[string]struct {
		data, contentType string
		want              decision.Decision
	}{
		"attributes fill in absent fields": {
			`{` + pass + `}`, "application/json",
			decision.Decision{ID: "ce-1", OwnID: true, IDSource: "/kyc/decider?team=ü", DecidedAt: "2026-11-01T06:00:29.5Z", Source: "/kyc/decider?team=ü"},
		},
		"null counts as absent": {
			`{"id":null,"source":null,"decided_at":null,` + pass + `}`, "application/json",
			decision.Decision{ID: "ce-1", OwnID: true, IDSource: "/kyc/decider?team=ü", DecidedAt: "2026-11-01T06:00:29.5Z", Source: "/kyc/decider?team=ü"},
		},
		"the decision's own fields win": {
			`{"id":"d","source":"s","decided_at":"2026-10-01T00:00:00+01:00","reason":"r","batch_id":"b",` + pass + `}`, "application/json",
			decision.Decision{ID: "d", OwnID: true, DecidedAt: "2026-10-01T00:00:00+01:00", Source: "s", Reason: "r", BatchID: "b"},
		},
		"an own source does not replace the event's": {
			`{"source":"s",` + pass + `}`, "application/json",
			decision.Decision{ID: "ce-1", OwnID: true, IDSource: "/kyc/decider?team=ü", DecidedAt: "2026-11-01T06:00:29.5Z", Source: "s"},
		},
		"another JSON media type": {
			`{` + pass + `}`, "application/vnd.example.decision+json",
			decision.Decision{ID: "ce-1", OwnID: true, IDSource: "/kyc/decider?team=ü", DecidedAt: "2026-11-01T06:00:29.5Z", Source: "/kyc/decider?team=ü"},
		},
		"data that the SDK writes as base64": {
			`{` + pass + `}`, "application/octet-stream",
			decision.Decision{ID: "ce-1", OwnID: true, IDSource: "/kyc/decider?team=ü", DecidedAt: "2026-11-01T06:00:29.5Z", Source: "/kyc/decider?team=ü"},
		},
	} {
		for mode, structured := range map[string]bool{"structured": true, "binary": false} {
			t.Run(name+"/"+mode, func(t *testing.T) {
				rec := sdkEncode(t, sdkEvent(t, tc.contentType, tc.data), structured)
				want := tc.want
				want.Task, want.State = task, decision.CompletedPass
				if got, err := decision.Decode(rec); err != nil || got != want {
					t.Errorf("%s\ngot  %+v, %v\nwant %+v", rec.Value, got, err, want)
				}
			})
		}
	}
}

func TestDecodeRefusesEventsOfAnotherVersion(t *testing.T) {
	e := sdkEvent(t, "application/json", `{`+pass+`}`)
	e.SetSpecVersion(event.CloudEventsVersionV03)
	for _, structured := range []bool{true, false} {
		d, err := decision.Decode(sdkEncode(t, e, structured))
		if err == nil || err.Error() != `cloudevent.specversion: must be 1.0, is "0.3"` || d.ID != "" && d.ID != "ce-1" {
			t.Errorf("got %+v, %v", d, err)
		}
	}
}

func headers(pairs ...string) []decision.Header {
	var all []decision.Header
	for pair := range slices.Chunk(pairs, 2) {
		all = append(all, decision.Header{Key: pair[0], Value: []byte(pair[1])})
	}
	return all
}

var ce = []string{"ce_specversion", "1.0", "ce_id", "ce-1", "ce_source", "/s", "ce_type", "t"}

const envelope = `"specversion":"1.0","id":"ce-1","source":"/s","type":"t"`

func TestDecodeReadsContentTypesInAnyCaseWithParameters(t *testing.T) {
	for _, header := range []string{
		"application/cloudevents+json", "Application/CloudEvents+JSON; charset=UTF-8", " application/cloudevents+json ;charset=\"utf-8\"",
	} {
		for _, name := range []string{"content-type", "Content-Type"} {
			rec := record(`{` + envelope + `,"data":{` + pass + `}}`)
			rec.Headers = headers(name, header)
			if d, err := decision.Decode(rec); err != nil || d.ID != "ce-1" || d.Source != "/s" {
				t.Errorf("%s: %s: got %+v, %v", name, header, d, err)
			}
		}
	}
}

func TestDecodeNamesEveryFaultOfAnEvent(t *testing.T) {
	long := strings.Repeat("i", 129)
	for name, tc := range map[string]struct {
		value   string
		headers []decision.Header
		want    string
		id      string
	}{
		"binary: only an ID": {
			`{` + ids + `}`, headers("ce_id", "a"),
			"cloudevent.specversion: missing; cloudevent.source: missing; cloudevent.type: missing; state: missing", "a",
		},
		"binary: twice and empty": {
			`{` + pass + `}`, headers(append(ce, "ce_id", "other", "ce_time", "")...),
			"cloudevent.id: given twice; cloudevent.time: empty", "ce-1",
		},
		"binary: an attribute in invalid UTF-8": {
			`{` + pass + `}`, headers(append(ce[2:], "ce_specversion", "\xff")...),
			"cloudevent.specversion: not valid UTF-8; cloudevent.specversion: missing", "ce-1",
		},
		"binary: an invalid ID": {
			`{` + pass + `}`, headers(append(ce[4:], "ce_specversion", "1.0", "ce_id", "a\r\nverdict-reason: x")...),
			`id: must be 1 to 128 printable characters, is "a\r\nverdict-reason: x"`, "",
		},
		"binary: an ID too long": {
			`{` + pass + `}`, headers(append(ce[4:], "ce_specversion", "1.0", "ce_id", long)...),
			`id: must be 1 to 128 printable characters, is "` + long[:48] + `…"`, "",
		},
		"binary: an invalid time": {
			`{` + pass + `}`, headers(append(ce, "ce_time", "yesterday")...),
			`decided_at: must be an RFC 3339 time such as 2026-11-01T06:00:29Z, is "yesterday"`, "ce-1",
		},
		"binary: a source too long": {
			`{` + pass + `}`, headers("ce_specversion", "1.0", "ce_id", "ce-1", "ce_type", "t", "ce_source", strings.Repeat("s", 1025)),
			"source: has 1025 bytes; the limit is 1024", "ce-1",
		},
		"binary: no value": {"", headers(ce...), "value: empty; a decision is a JSON object", "ce-1"},
		"binary: not JSON": {"<decision/>", headers(ce...), "value: not valid JSON: invalid character '<' looking for beginning of value", "ce-1"},

		"structured: not JSON": {"ce", headers("content-type", "application/cloudevents+json"), "value: not valid JSON: invalid character 'c' looking for beginning of value", ""},
		"structured: an array": {
			"[]", headers("content-type", "application/cloudevents+json"), "value: not a JSON object", "",
		},
		"structured: every fault": {
			`{"specversion":1.0,"id":"","id":"b","source":{},"time":7,"data":{"state":"PASS"},"data_base64":"e30="}`, headers("content-type", "application/cloudevents+json"),
			`cloudevent.id: given twice; cloudevent.specversion: must be a string, is 1.0; cloudevent.id: empty; ` +
				`cloudevent.source: must be a string, is {}; cloudevent.type: missing; cloudevent.time: must be a string, is 7; ` +
				`cloudevent.data: given together with data_base64; give only one of them; ` +
				`profile_id: missing; task_id: missing; state: must be COMPLETED_PASS or COMPLETED_FAIL, is "PASS"`, "",
		},
		"structured: no data": {
			`{` + envelope + `,"data":null}`, headers("content-type", "application/cloudevents+json"),
			"cloudevent.data: missing; the decision goes there", "ce-1",
		},
		"structured: data in a string": {
			`{` + envelope + `,"data":"{}"}`, headers("content-type", "application/cloudevents+json"),
			"data: not a JSON object", "ce-1",
		},
		"structured: data that is not base64": {
			`{` + envelope + `,"data_base64":"{}"}`, headers("content-type", "application/cloudevents+json"),
			"cloudevent.data_base64: must be a string of base64 that holds the decision", "ce-1",
		},
		"structured: base64 of something else than JSON": {
			`{` + envelope + `,"data_base64":"AAAA"}`, headers("content-type", "application/cloudevents+json"),
			`data: not valid JSON: invalid character '\x00' looking for beginning of value`, "ce-1",
		},
		"structured: data given twice": {
			`{` + envelope + `,"data":{` + pass + `},"data":{` + pass + `}}`, headers("content-type", "application/cloudevents+json"),
			"cloudevent.data: given twice", "ce-1",
		},
		"a batch": {
			`[]`, headers("content-type", "application/cloudevents-batch+json; charset=utf-8"),
			`content-type: "application/cloudevents-batch+json" holds several events; send each in a record of its own`, "",
		},
		"another format": {
			`<event/>`, headers("content-type", "application/cloudevents+xml"),
			`content-type: "application/cloudevents+xml" is not supported; send structured events as application/cloudevents+json`, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			rec := record(tc.value)
			rec.Headers = tc.headers
			d, err := decision.Decode(rec)
			invalid, ok := errors.AsType[*decision.Invalid](err)
			if !ok || invalid.Error() != tc.want || d.ID != tc.id {
				t.Errorf("got  %v, ID %q\nwant %s, ID %q", err, d.ID, tc.want, tc.id)
			}
		})
	}
}

func TestDecodeIgnoresHeadersThatAreNotCloudEvents(t *testing.T) {
	rec := record(`{"specversion":"1.0","data":{},` + pass + `}`)
	rec.Headers = headers("content-type", "application/json", "ce_", "x", "certificate", "y", "traceparent", "z", "verdict-redrives", "1")
	if d, err := decision.Decode(rec); err != nil || d.OwnID {
		t.Errorf("got %+v, %v", d, err)
	}
}

func TestOpenEventReadsAnEventWithoutHeaders(t *testing.T) {
	rec := record(`{` + envelope + `,"data":{` + pass + `}}`)
	if decision.IsEvent(rec) {
		t.Error("a record without the header is taken for an event")
	}
	around, data := decision.OpenEvent(rec)
	if d, err := decision.DecodeValue(rec, around, data); err != nil || d.ID != "ce-1" {
		t.Errorf("got %+v, %v", d, err)
	}
}

// FuzzCloudEvent checks that no event makes decoding panic, that faults are few
// and bounded, and that an event that both modes can carry means the same in both.
func FuzzCloudEvent(f *testing.F) {
	f.Add([]byte(`{`+pass+`}`), "1.0", "ce-1", "/s", "t", "2026-11-01T06:00:29Z", "application/cloudevents+json")
	f.Add([]byte(`{"id":"a",`+pass+`}`), "1.0", "ce-1", "/s", "t", "x", "application/json")
	f.Add([]byte(`{"id":null,`+ids+`}`), "0.3", "", "\xff", "t", "", "application/cloudevents-batch+json")
	f.Add([]byte(`{`+envelope+`,"data":{`+pass+`}}`), "", "", "", "", "", "application/cloudevents+json;x")
	f.Add([]byte(`{`+envelope+`,"data_base64":"e30=","data":null,"id":"b"}`), "", "", "", "", "", "Application/CloudEvents+json")
	f.Fuzz(func(t *testing.T, value []byte, version, id, source, kind, when, media string) {
		bounded := func(_ decision.Decision, err error) {
			if err == nil {
				return
			}
			invalid, ok := errors.AsType[*decision.Invalid](err)
			if !ok || len(invalid.Faults) == 0 || len(invalid.Faults) > 40 || len(err.Error()) > 8192 {
				t.Fatalf("%d bytes: %v", len(err.Error()), err)
			}
		}
		rec := record(string(value))
		rec.Headers = headers("content-type", media)
		bounded(decision.Decode(rec))
		around, data := decision.OpenEvent(rec)
		bounded(decision.DecodeValue(rec, around, data))

		rec.Headers = headers("ce_specversion", version, "ce_id", id, "ce_source", source, "ce_type", kind)
		object := map[string]any{
			"specversion": version, "id": id, "source": source, "type": kind,
			"data_base64": base64.StdEncoding.EncodeToString(value),
		}
		if when != "" {
			rec.Headers = append(rec.Headers, headers("ce_time", when)...)
			object["time"] = when
		}
		binary, err := decision.Decode(rec)
		bounded(binary, err)
		if err != nil {
			return
		}
		whole, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		rec = record(string(whole))
		rec.Headers = headers("content-type", "application/cloudevents+json")
		if structured, err := decision.Decode(rec); structured != binary && rec.SentSize() <= decision.MaxRecordSize {
			t.Errorf("binary     %+v\nstructured %+v, %v", binary, structured, err)
		}
	})
}
