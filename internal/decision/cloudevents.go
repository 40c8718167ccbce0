package decision

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// SpecVersion is the version of CloudEvents that is understood.
const SpecVersion = "1.0"

// Event is the CloudEvent around a decision: what it says about itself, apart
// from its data.
type Event struct {
	attrs  [len(attributes)][]byte // JSON strings; nil: not given
	faults []Fault
	data   string // what faults call the data: "data", or "value" where it is the record's
	sealed bool   // no data could be got at; faults say why
}

// attributes is every attribute of a CloudEvent that matters here. The data of a
// structured event are members beside them.
var attributes = [...]string{"specversion", "id", "source", "type", "time"}

// stands is which attributes stand for which fields of the decision.
var stands = [...]struct{ attribute, field string }{{"id", "id"}, {"source", "source"}, {"time", "decided_at"}}

const (
	contentType      = "content-type"
	headerPrefix     = "ce_"
	eventMediaType   = "application/cloudevents"
	structuredAsJSON = eventMediaType + "+json"
)

// IsEvent says whether a record's headers make it a CloudEvent, in either mode
// of the Kafka protocol binding.
func IsEvent(rec *Record) bool {
	for _, h := range rec.Headers {
		if isAttribute(h.Key) {
			return true
		}
	}
	return strings.HasPrefix(mediaType(rec), eventMediaType)
}

func isAttribute(key string) bool {
	return len(key) > len(headerPrefix) && strings.EqualFold(key[:len(headerPrefix)], headerPrefix)
}

// mediaType is the record's content type in lower case, without parameters; of
// several the last, as with every header.
func mediaType(rec *Record) string {
	media := ""
	for _, h := range rec.Headers {
		if strings.EqualFold(h.Key, contentType) {
			text, _, _ := strings.Cut(string(h.Value), ";")
			media = strings.ToLower(strings.TrimSpace(text))
		}
	}
	return media
}

// OpenEvent takes a record's CloudEvent and its data apart: by the content type a
// structured one, by the headers ce_… a binary one, and without either the value
// is taken for a structured one. What is wrong with the event is said by
// DecodeValue, together with what is wrong with the data.
func OpenEvent(rec *Record) (*Event, []byte) {
	media := mediaType(rec)
	switch {
	case media == structuredAsJSON:
		return structured(rec)
	case strings.HasPrefix(media, eventMediaType+"-batch"):
		return sealed(contentType, fmt.Sprintf("%s holds several events; send each in a record of its own", quote(media)))
	case strings.HasPrefix(media, eventMediaType):
		return sealed(contentType, fmt.Sprintf("%s is not read; structured events come as %s", quote(media), structuredAsJSON))
	case IsEvent(rec):
		return binary(rec)
	}
	return structured(rec)
}

func sealed(field, problem string) (*Event, []byte) {
	return &Event{sealed: true, faults: []Fault{{field, problem}}}, nil
}

// binary is an event whose attributes are headers and whose data is the value.
func binary(rec *Record) (*Event, []byte) {
	e := &Event{data: "value"}
	for _, h := range rec.Headers {
		if !isAttribute(h.Key) {
			continue
		}
		i := e.place(strings.ToLower(h.Key[len(headerPrefix):]))
		switch {
		case i < 0:
		case !utf8.Valid(h.Value):
			e.fault(attributes[i], "not valid UTF-8")
		case e.attrs[i] != nil:
			e.fault(attributes[i], "given twice")
		default:
			e.attrs[i] = appendString(nil, string(h.Value))
		}
	}
	e.check()
	return e, rec.Value
}

// structured is an event that is a JSON object in the record's value.
func structured(rec *Record) (*Event, []byte) {
	if fault := WholeFault(rec, rec.Value, "a decision"); fault != "" {
		return sealed("value", fault)
	}
	e := &Event{data: "data"}
	var data, encoded []byte
	members(rec.Value, func(name, raw []byte) {
		at := &data
		switch i := e.place(string(name)); {
		case i >= 0:
			at = &e.attrs[i]
		case string(name) == "data_base64":
			at = &encoded
		case string(name) != "data":
			return
		}
		switch {
		case *at != nil:
			e.fault(string(name), "given twice")
		case string(raw) != "null":
			*at = raw
		}
	})
	e.check()
	switch {
	case data != nil && encoded != nil:
		e.fault("data", "given beside data_base64; want one of them")
	case encoded != nil:
		var text string
		err := json.Unmarshal(encoded, &text)
		if data, _ = base64.StdEncoding.DecodeString(text); err != nil || len(data) == 0 {
			e.sealed = true
			e.fault("data_base64", "must be a string of base64 that holds the decision")
		}
	case data == nil:
		e.sealed = true
		e.fault("data", "missing; the decision goes there")
	}
	return e, data
}

// check finds the attributes that are missing or wrong. What is no string can't
// stand for anything, and is taken out.
func (e *Event) check() {
	for i, name := range attributes {
		raw := e.attrs[i]
		var text string
		switch err := json.Unmarshal(raw, &text); {
		case raw == nil && name == "time":
		case raw == nil:
			e.fault(name, "missing")
		case err != nil || bytes.IndexByte(raw, '"') != 0:
			e.fault(name, "must be a string, is %s", asItStands(raw))
			e.attrs[i] = nil
		case name == "specversion" && text != SpecVersion:
			e.fault(name, "must be %s, is %s", SpecVersion, quote(text))
		case text == "":
			e.fault(name, "empty")
			e.attrs[i] = nil
		}
	}
}

func (e *Event) place(name string) int {
	for i := range attributes {
		if attributes[i] == name {
			return i
		}
	}
	return -1
}

func (e *Event) fault(name, problem string, args ...any) {
	f := Fault{"cloudevent." + name, fmt.Sprintf(problem, args...)}
	if !slices.Contains(e.faults, f) {
		e.faults = append(e.faults, f)
	}
}

// lend puts the event's attributes in the place of the fields that the decision
// does not have itself.
func (f *fields) lend(e *Event) {
	if e == nil {
		return
	}
	for _, s := range stands {
		if raw := e.attrs[e.place(s.attribute)]; raw != nil && !f.has(s.field) {
			f.raw[place(s.field)] = raw
		}
	}
}

// Unreadable is what is known of a record whose value can't be read as a decision
// for one reason: the event's ID, where there is an event, and every fault.
func Unreadable(event *Event, problem string) (Decision, error) {
	var d Decision
	var f fields
	field := "value"
	if event != nil {
		f.faults = append(f.faults, event.faults...)
		if event.data != "" {
			field = event.data
		}
		f.lend(event)
		d.ID, d.OwnID = f.id()
	}
	if event == nil || !event.sealed {
		f.fault(field, "%s", problem)
	}
	return d, &Invalid{Faults: f.faults}
}
