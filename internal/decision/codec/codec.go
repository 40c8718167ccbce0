// Package codec finds the decision in a record whatever format its value has:
// JSON, a CloudEvent, or JSON, Avro or Protobuf behind the ID of a schema that a
// Schema Registry knows. It turns each into the JSON that package decision reads,
// and says nothing of its own about what a decision must hold.
//
// A registry that can't be asked is waited for. What to do about a record that
// can't be read is left to the caller.
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
	Format decision.Format // "": FormatAuto

	// RegistryURL is where the Schema Registry is; user and password in it are
	// sent as basic authentication, and told nobody else. Empty: there is none.
	RegistryURL string
	Timeout     time.Duration // of one call to the registry; 0: 10s
	UserAgent   string
	// DialContext opens connections to the registry; nil: TCP.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	Logger *slog.Logger
	// OnState is told when records begin to wait because the registry can't be
	// asked, and when none does any more. Nil: nobody is told.
	OnState func(waiting bool)
}

// Decoder reads decisions in one format, or in all. It is safe for concurrent use.
type Decoder struct {
	format   decision.Format
	registry *registry // nil: there is none
}

// New is a Decoder. Nothing is dialed yet.
func New(opts Options) (*Decoder, error) {
	opts.Timeout = cmp.Or(opts.Timeout, 10*time.Second)
	if opts.OnState == nil {
		opts.OnState = func(bool) {}
	}
	d := &Decoder{format: cmp.Or(opts.Format, decision.FormatAuto)}
	switch {
	case !slices.Contains(d.format.Choices(), string(d.format)):
		return nil, fmt.Errorf("codec: Format: %q is none", d.format)
	case opts.Logger == nil:
		return nil, errors.New("codec: Logger: missing")
	case opts.RegistryURL == "" && (d.format == decision.FormatAvro || d.format == decision.FormatProtobuf):
		return nil, fmt.Errorf("codec: RegistryURL: needed for %s", d.format)
	case opts.RegistryURL == "":
		return d, nil
	}
	var err error
	d.registry, err = newRegistry(opts)
	return d, err
}

// Close closes the connections to the registry.
func (d *Decoder) Close() {
	if d.registry != nil {
		d.registry.http.CloseIdleConnections()
	}
}

// Ask asks the Schema Registry once whether it is there and takes the login. Where
// none is configured there is nothing to ask.
func (d *Decoder) Ask(ctx context.Context) error {
	if d.registry == nil {
		return nil
	}
	return d.registry.ask(ctx)
}

// Decode reads the decision in a record. It waits while the schema that the
// record needs is not known and the registry can't be asked. The error is
// *decision.Invalid with every fault, or ctx's.
func (d *Decoder) Decode(ctx context.Context, rec *decision.Record) (decision.Decision, error) {
	var event *decision.Event
	value := rec.Value
	if d.format == decision.FormatCloudEvents || d.format == decision.FormatAuto && decision.IsEvent(rec) {
		event, value = decision.OpenEvent(rec)
	}
	if rec.Size() > decision.MaxRecordSize || !d.framed(value) {
		return decision.DecodeValue(rec, event, value)
	}
	value, err := d.unframe(ctx, value)
	if bad, ok := errors.AsType[misfit](err); ok {
		return decision.Unreadable(event, string(bad))
	}
	if err != nil {
		return decision.Decision{}, err
	}
	return decision.DecodeValue(rec, event, value)
}

// misfit says what is wrong with a value: its frame, or that it does not fit its
// schema.
type misfit string

func (m misfit) Error() string { return string(m) }

func misfitf(format string, args ...any) misfit { return misfit(fmt.Sprintf(format, args...)) }

// The wire format of a Schema Registry: magic, the schema's ID in four bytes, and
// for Protobuf which of the schema's messages it is.
const (
	magic     = 0
	frameSize = 5
)

// framed says whether value is to be read as one behind a schema ID. No JSON
// begins with the magic byte.
func (d *Decoder) framed(value []byte) bool {
	return len(value) > 0 && (value[0] == magic || d.format == decision.FormatAvro || d.format == decision.FormatProtobuf)
}

// unframe turns a value behind a schema ID into JSON.
func (d *Decoder) unframe(ctx context.Context, value []byte) ([]byte, error) {
	switch {
	case value[0] != magic:
		return nil, misfitf("begins with byte %d, not with the 0 and the schema ID of a Schema Registry", value[0])
	case len(value) < frameSize:
		return nil, misfitf("begins with byte 0, and its %d bytes are too few for the schema ID of a Schema Registry", len(value))
	}
	id := binary.BigEndian.Uint32(value[1:])
	if d.registry == nil {
		return nil, misfitf("is in the format of a Schema Registry (schema ID %d), and decode.registry_url is not set", id)
	}
	if id > maxSchemaID {
		return nil, misfitf("schema ID %d can be none", id)
	}
	s, err := d.registry.schema(ctx, int(id))
	if err != nil {
		return nil, err
	}
	if want, bound := kinds[d.format]; bound && s.kind != want {
		return nil, misfitf("is %s by its schema (ID %d), and decode.format is %s", s.kind, id, d.format)
	}
	object, err := s.decode(value[frameSize:])
	if err != nil {
		return nil, misfitf("does not fit its schema (%s, ID %d): %v", s.kind, id, err)
	}
	return object, nil
}

// kinds is the one kind of schema that a format allows.
var kinds = map[decision.Format]sr.SchemaType{decision.FormatJSON: sr.TypeJSON, decision.FormatAvro: sr.TypeAvro, decision.FormatProtobuf: sr.TypeProtobuf}
