// Package codec reads the decision in a record, in any format of its value:
// JSON, a CloudEvent, or JSON, Avro or Protobuf after the ID or GUID of a schema in a
// Schema Registry. Every format becomes JSON with the fields of a decision and no
// others, and package decision judges that JSON: one set of rules and one wording
// of faults. JSON after a schema ID is not checked against its JSON Schema, since
// those rules are stricter.
//
// Decode waits while it needs a schema that it does not know and the registry
// can't be queried. That holds up the caller's partition and nothing else: schemas
// are remembered, so records of known schemas go on. Only a 404 with a registry's
// error code, or while an ID that was known before is still found, makes a schema ID
// unknown; a wrong decode.registry_url, or a gateway while the registry is deployed,
// therefore waits and dead-letters nothing. Callers that need the same schema take turns
// to fetch it; one whose partition is revoked leaves its turn to the next.
//
// What to do about a record that can't be read is left to the caller.
package codec

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"verdict/internal/decision"
)

// Options configure a Decoder.
type Options struct {
	Format decision.Format // required

	// RegistryURL is the address of the Schema Registry. A user and password in it
	// are sent as basic authentication, and appear in no log and no error.
	// Empty: there is no registry, which FormatAvro and FormatProtobuf need.
	RegistryURL string
	Timeout     time.Duration // of one call to the registry; 0: 10s
	UserAgent   string        // header of calls to the registry; empty: none is sent
	// DialContext opens connections to the registry; nil: TCP.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	Logger *slog.Logger // required
	// OnState is called with true when records begin to wait because the registry
	// can't be queried, and with false when none waits any longer. It must not
	// block. Nil: it is not called.
	OnState func(waiting bool)
}

// Decoder reads decisions in one format, or in all. It is safe for concurrent use.
type Decoder struct {
	format  decision.Format
	schemas *schemaCache // nil: there is no registry
}

// New returns a Decoder. It opens no connection.
func New(opts Options) (*Decoder, error) {
	opts.Timeout = cmp.Or(opts.Timeout, 10*time.Second)
	if opts.OnState == nil {
		opts.OnState = func(bool) {}
	}
	switch {
	case !slices.Contains(opts.Format.Choices(), string(opts.Format)):
		return nil, fmt.Errorf("codec: Format: %q is not a format", opts.Format)
	case opts.Logger == nil:
		return nil, errors.New("codec: Logger: missing")
	case opts.RegistryURL == "" && (opts.Format == decision.FormatAvro || opts.Format == decision.FormatProtobuf):
		return nil, fmt.Errorf("codec: RegistryURL: missing; format %s needs it", opts.Format)
	}
	d := &Decoder{format: opts.Format}
	if opts.RegistryURL != "" {
		registry, err := newRegistry(opts)
		if err != nil {
			return nil, err
		}
		d.schemas = newSchemaCache(registry, opts)
	}
	return d, nil
}

// Close closes the connections to the registry.
func (d *Decoder) Close() {
	if d.schemas != nil {
		d.schemas.registry.http.CloseIdleConnections()
	}
}

// Ask calls the Schema Registry once, to find out whether it answers and accepts
// the login. It returns nil if no registry is configured.
func (d *Decoder) Ask(ctx context.Context) error {
	if d.schemas == nil {
		return nil
	}
	return d.schemas.registry.ask(ctx)
}

// Decode reads the decision in a record. It waits while it needs a schema that it
// does not know and the registry can't be queried. The error is a
// *decision.Invalid with every fault, or ctx's.
func (d *Decoder) Decode(ctx context.Context, rec *decision.Record) (decision.Decision, error) {
	event, value := d.open(rec)
	if rec.Fault != "" || rec.SentSize() > decision.MaxRecordSize || !d.framed(value) {
		return decision.DecodeValue(rec, event, value)
	}
	value, err := d.unframe(ctx, value)
	if fault, ok := errors.AsType[valueError](err); ok {
		return decision.Unreadable(event, string(fault))
	}
	if err != nil {
		return decision.Decision{}, err
	}
	return decision.DecodeValue(rec, event, value)
}

// valueError says what is wrong with a value: its frame, its schema, or that it
// does not fit its schema. Its text becomes the fault in the dead letter.
type valueError string

func (e valueError) Error() string { return string(e) }

func valueErrorf(format string, args ...any) valueError {
	return valueError(fmt.Sprintf(format, args...))
}

// The wire format of a Schema Registry: a magic byte and the schema's ID in four bytes or
// its GUID in sixteen, and for Protobuf the indexes that tell which of the schema's
// messages the value is. All this precedes the value, or is in the header idHeader, which
// serializers use for GUIDs.
const (
	magicID   = 0
	magicGUID = 1
	idSize    = 1 + 4
	guidSize  = 1 + 16
	idHeader  = "__value_schema_id"
)

// schemaID names a schema in a Schema Registry.
type schemaID struct {
	number uint32 // if guid is empty
	guid   string
}

func (id schemaID) String() string {
	if id.guid != "" {
		return "GUID " + id.guid
	}
	return fmt.Sprint("ID ", id.number)
}

// cutID separates the ID of a schema from what follows it.
func cutID(b []byte) (id schemaID, rest []byte, ok bool) {
	switch {
	case len(b) >= idSize && b[0] == magicID:
		return schemaID{number: binary.BigEndian.Uint32(b[1:])}, b[idSize:], true
	case len(b) >= guidSize && b[0] == magicGUID:
		return schemaID{guid: uuid([16]byte(b[1:]))}, b[guidSize:], true
	}
	return id, nil, false
}

// framed reports whether value is to be read as one after a schema ID. JSON never
// begins with a magic byte.
func (d *Decoder) framed(value []byte) bool {
	return len(value) > 0 && (value[0] <= magicGUID || d.format == decision.FormatAvro || d.format == decision.FormatProtobuf)
}

// IsFramed reports whether the value of a record, or the data of its event, is to be read
// with a schema.
func (d *Decoder) IsFramed(rec *decision.Record) bool {
	_, value := d.open(rec)
	return d.framed(value)
}

// open returns the event that a record is, nil if it is none, and its data or the record's
// value. A schema ID in a header is put before the value, where others have it.
func (d *Decoder) open(rec *decision.Record) (event *decision.Event, value []byte) {
	value = rec.Value
	if d.format == decision.FormatCloudEvents || d.format == decision.FormatAuto && decision.IsEvent(rec) {
		event, value = decision.OpenEvent(rec)
	}
	if d.schemas == nil || d.format == decision.FormatJSON || !event.IsValue() {
		return event, value
	}
	for _, h := range slices.Backward(rec.Headers) {
		if _, _, ok := cutID(h.Value); ok && h.Key == idHeader {
			return event, slices.Concat(h.Value, value)
		}
	}
	return event, value
}

// unframe returns a value after a schema ID as JSON.
func (d *Decoder) unframe(ctx context.Context, value []byte) ([]byte, error) {
	id, rest, ok := cutID(value)
	switch {
	case value[0] > magicGUID:
		return nil, valueErrorf("begins with byte %d, not with the 0 and the schema ID of a Schema Registry", value[0])
	case !ok:
		return nil, valueErrorf("begins with byte %d, but its %d bytes are too few for the schema ID of a Schema Registry", value[0], len(value))
	case d.schemas == nil:
		return nil, valueErrorf("is in the format of a Schema Registry (schema %v), but decode.registry_url is not set", id)
	case id.number > maxSchemaID:
		return nil, valueErrorf("schema %v is out of range", id)
	}
	s, err := d.schemas.get(ctx, id)
	if err != nil {
		return nil, err
	}
	if !allows(d.format, s.kind) {
		return nil, valueErrorf("its schema (%v) is %s, but decode.format is %s", id, s.kind, d.format)
	}
	object, err := s.decode(rest)
	if err != nil {
		return nil, valueErrorf("does not fit its schema (%s, %v): %v", s.kind, id, err)
	}
	return object, nil
}

// allows reports whether values of this format may have this type of schema.
func allows(format decision.Format, kind sr.SchemaType) bool {
	switch format {
	case decision.FormatAuto, decision.FormatCloudEvents:
		return true
	case decision.FormatJSON:
		return kind == sr.TypeJSON
	case decision.FormatAvro:
		return kind == sr.TypeAvro
	case decision.FormatProtobuf:
		return kind == sr.TypeProtobuf
	}
	return false
}
