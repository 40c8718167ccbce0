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

// specVersion is the version of CloudEvents that Verdict reads.
const specVersion = "1.0"

// Event is the CloudEvent around a decision, without its data.
type Event struct {
	attrs     [len(attributes)][]byte // JSON strings; nil: not given
	source    string                  // the attribute as text; empty: missing or wrong
	faults    []Fault
	dataField string // what faults call the data: "data", or "value" in binary mode; "": neither
	noData    bool   // the data could not be found; faults say why
}

// attributes holds the attributes of a CloudEvent that matter here.
var attributes = [...]string{"specversion", "id", "source", "type", "time"}

// attributeFields says which attributes fill in which fields of the decision.
var attributeFields = [...]struct{ attribute, field string }{{"id", "id"}, {"source", "source"}, {"time", "decided_at"}}

const (
	contentType      = "content-type"
	headerPrefix     = "ce_"
	eventMediaType   = "application/cloudevents"
	structuredAsJSON = eventMediaType + "+json"
)

// IsEvent reports whether a record's headers make it a CloudEvent, in either mode
// of the Kafka protocol binding.
func IsEvent(rec *Record) bool {
	for _, h := range rec.Headers {
		if isAttribute(h.Key) {
			return true
		}
	}
	return strings.HasPrefix(mediaType(rec), eventMediaType)
}

// IsValue reports whether the event's data is the record's whole value, as it is without
// an event.
func (e *Event) IsValue() bool { return e == nil || e.dataField == "value" }

func isAttribute(key string) bool {
	return len(key) > len(headerPrefix) && strings.EqualFold(key[:len(headerPrefix)], headerPrefix)
}

// mediaType returns the record's content type in lower case, without parameters. If
// there are several, the last counts, as with every header.
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

// OpenEvent separates a record's CloudEvent from its data. The content type marks a
// structured event and the headers ce_… a binary one; without either, the value is
// read as a structured event. DecodeValue reports the faults of the event together
// with those of the data.
func OpenEvent(rec *Record) (*Event, []byte) {
	media := mediaType(rec)
	switch {
	case media == structuredAsJSON:
		return openStructured(rec)
	case strings.HasPrefix(media, eventMediaType+"-batch"):
		return refuseEvent(contentType, fmt.Sprintf("%s holds several events; send each in a record of its own", quote(media)))
	case strings.HasPrefix(media, eventMediaType):
		return refuseEvent(contentType, fmt.Sprintf("%s is not supported; send structured events as %s", quote(media), structuredAsJSON))
	case IsEvent(rec):
		return openBinary(rec)
	}
	return openStructured(rec)
}

// refuseEvent returns an event without data because of one fault.
func refuseEvent(field, problem string) (*Event, []byte) {
	return &Event{noData: true, faults: []Fault{{field, problem}}}, nil
}

// openBinary opens an event whose attributes are headers and whose data is the
// record's value.
func openBinary(rec *Record) (*Event, []byte) {
	e := &Event{dataField: "value"}
	for _, h := range rec.Headers {
		if !isAttribute(h.Key) {
			continue
		}
		i := attributeIndex(strings.ToLower(h.Key[len(headerPrefix):]))
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

// openStructured opens an event that is a JSON object in the record's value.
func openStructured(rec *Record) (*Event, []byte) {
	if fault := ObjectFault(rec, rec.Value, "a decision"); fault != "" {
		return refuseEvent("value", fault)
	}
	e := &Event{dataField: "data"}
	var data, encoded []byte
	members(rec.Value, func(name, raw []byte) {
		into := &data
		switch i := attributeIndex(string(name)); {
		case i >= 0:
			into = &e.attrs[i]
		case string(name) == "data_base64":
			into = &encoded
		case string(name) != "data":
			return
		}
		switch {
		case *into != nil:
			e.fault(string(name), "given twice")
		case string(raw) != "null":
			*into = raw
		}
	})
	e.check()
	switch {
	case data != nil && encoded != nil:
		e.fault("data", "given together with data_base64; give only one of them")
	case encoded != nil:
		var text string
		err := json.Unmarshal(encoded, &text)
		if data, _ = base64.StdEncoding.DecodeString(text); err != nil || len(data) == 0 {
			e.noData = true
			e.fault("data_base64", "must be a string of base64 that holds the decision")
		}
	case data == nil:
		e.noData = true
		e.fault("data", "missing; the decision goes there")
	}
	return e, data
}

// check reports the attributes that are missing or wrong. It drops those that are
// not strings or are empty, since they can't fill in a field.
func (e *Event) check() {
	for i, name := range attributes {
		raw := e.attrs[i]
		var text string
		switch err := json.Unmarshal(raw, &text); {
		case raw == nil && name == "time":
		case raw == nil:
			e.fault(name, "missing")
		case err != nil || bytes.IndexByte(raw, '"') != 0:
			e.fault(name, "must be a string, is %s", showJSON(raw))
			e.attrs[i] = nil
		case name == "specversion" && text != specVersion:
			e.fault(name, "must be %s, is %s", specVersion, quote(text))
		case text == "":
			e.fault(name, "empty")
			e.attrs[i] = nil
		case name == "source":
			e.source = text
		}
	}
}

// attributeIndex returns the index of a name among attributes, or -1.
func attributeIndex(name string) int {
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

// fillFrom fills in the fields that the decision does not have from the event's
// attributes.
func (f *fields) fillFrom(e *Event) {
	if e == nil {
		return
	}
	for _, a := range attributeFields {
		if raw := e.attrs[attributeIndex(a.attribute)]; raw != nil && !f.has(a.field) {
			f.raw[fieldIndex(a.field)] = raw
		}
	}
}
