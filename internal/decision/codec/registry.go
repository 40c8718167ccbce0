package codec

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"verdict/internal/decision"
)

// Bounds of what is accepted from the registry.
const (
	maxAnswer     = 2 << 20 // bytes of one answer; Kafka stores no schema over 1 MiB by default
	maxReferences = 100     // schemas that one schema refers to, directly or not
)

// registry is the client of the Schema Registry. It asks once and remembers
// nothing; schemaCache retries and remembers.
type registry struct {
	url     string // without user and password
	client  *sr.Client
	http    *http.Client
	timeout time.Duration            // of one call
	compile sync.Mutex               // held by a compiler: one at a time, for the memory that it takes
	good    atomic.Pointer[schemaID] // one that the registry knew; nil: none was asked for
}

func newRegistry(opts Options) (*registry, error) {
	base, err := url.Parse(opts.RegistryURL)
	if err != nil || base.Host == "" {
		return nil, errors.New("codec: RegistryURL: not a URL with a host") // the URL is left out: it may hold a password
	}
	login := base.User
	base.User = nil
	transport := &http.Transport{
		DialContext: opts.DialContext, Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second,
		TLSHandshakeTimeout: opts.Timeout, MaxResponseHeaderBytes: 64 << 10,
	}
	r := &registry{
		url: base.String(), timeout: opts.Timeout,
		http: &http.Client{
			Transport: boundedAnswers{transport},
			// A registry that has moved needs a new configuration, and the password
			// is meant for the server that is configured.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	clientOpts := []sr.ClientOpt{sr.URLs(r.url), sr.HTTPClient(r.http), sr.UserAgent(opts.UserAgent)}
	if login != nil {
		password, _ := login.Password()
		clientOpts = append(clientOpts, sr.BasicAuth(login.Username(), password))
	}
	r.client, err = sr.NewClient(clientOpts...)
	return r, err
}

// boundedAnswers cuts off answers that are too long, since the client reads them
// whole.
type boundedAnswers struct{ *http.Transport }

func (b boundedAnswers) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.Transport.RoundTrip(req)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
	}
	return resp, err
}

// ask asks for the schema of some ID, as fetch does. It returns nil even if the
// registry does not know the ID: it has answered.
func (r *registry) ask(ctx context.Context) error {
	_, err := r.schema(ctx, schemaID{number: 1})
	if errors.Is(err, errUnknown) {
		return nil
	}
	return err
}

// schema asks for the schema of an ID.
func (r *registry) schema(ctx context.Context, id schemaID) (sr.Schema, error) {
	return call(ctx, r, func(ctx context.Context) (sr.Schema, error) {
		if id.guid == "" {
			return r.client.SchemaByID(ctx, int(id.number))
		}
		s, err := r.client.SchemaByGUID(ctx, id.guid)
		return s.Schema, err
	})
}

// fetch asks for the schema of an ID and for the schemas that it refers to. An
// error means that the registry can't be queried.
func (r *registry) fetch(ctx context.Context, id schemaID) (*schema, error) {
	s, err := r.schema(ctx, id)
	if r.isUnknown(ctx, err) {
		return unknownSchema("schema %v is not known to the Schema Registry", id), nil
	}
	if err != nil {
		return nil, err
	}
	if s.Schema == "" {
		return nil, errors.New("it answered without a schema; is decode.registry_url right?")
	}
	r.good.Store(&id)
	refs, err := r.references(ctx, s)
	if fault, ok := errors.AsType[valueError](err); ok {
		return unknownSchema("schema %v %s", id, fault), nil
	}
	if err != nil {
		return nil, err
	}
	r.compile.Lock()
	decode, err := compile(ctx, s, refs)
	r.compile.Unlock()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return &schema{kind: s.Type, fault: valueErrorf("its schema (%s, %v) can't be used: %s", s.Type, id, decision.OneLine(err.Error(), 300))}, nil
	}
	return &schema{kind: s.Type, decode: decode}, nil
}

// reference is a schema that another one refers to by name.
type reference struct{ name, text string }

// references returns every schema that s refers to, each after those that it
// refers to itself. A JSON Schema needs none. The error is a valueError if s can't be
// completed.
func (r *registry) references(ctx context.Context, s sr.Schema) ([]reference, error) {
	if s.Type == sr.TypeJSON {
		return nil, nil
	}
	var all []reference
	seen := make(map[sr.SchemaReference]bool)
	size := len(s.Schema)
	var walk func(refs []sr.SchemaReference) error
	walk = func(refs []sr.SchemaReference) error {
		if size > maxSchemaText {
			return valueErrorf("has more than %d KiB of text, with the schemas that it refers to", maxSchemaText>>10)
		}
		for _, ref := range refs {
			if seen[ref] {
				continue
			}
			if len(seen) == maxReferences {
				return valueErrorf("refers to more than %d other schemas", maxReferences)
			}
			seen[ref] = true
			// A version that has been deleted since is still what the value was written with.
			found, err := call(sr.WithParams(ctx, sr.ShowDeleted), r, func(ctx context.Context) (sr.SubjectSchema, error) {
				return r.client.SchemaByVersion(ctx, ref.Subject, ref.Version)
			})
			if r.isUnknown(ctx, err) {
				return valueErrorf("refers to %.100q in version %d, which is not known to the Schema Registry", ref.Subject, ref.Version)
			}
			if err != nil {
				return err
			}
			size += len(found.Schema.Schema)
			if err := walk(found.References); err != nil {
				return err
			}
			all = append(all, reference{ref.Name, found.Schema.Schema})
		}
		return nil
	}
	if err := walk(s.References); err != nil {
		return nil, err
	}
	return all, nil
}

// errUnknown is the registry's answer that it does not have what it was asked for.
// errNotFound is a 404 that does not say so: a registry's, or that of a gateway while the
// registry is deployed, or of a wrong address.
var (
	errUnknown  = errors.New("not known to the Schema Registry")
	errNotFound = errors.New("it answered 404 Not Found; is decode.registry_url right?")
)

// isUnknown reports whether an error means that the registry does not have what it was
// asked for. A 404 that does not say so counts if an ID that was known is still found:
// otherwise everything would be dead-lettered because of a gateway.
func (r *registry) isUnknown(ctx context.Context, err error) bool {
	good := r.good.Load()
	if !errors.Is(err, errNotFound) || good == nil {
		return errors.Is(err, errUnknown)
	}
	_, err = r.schema(ctx, *good)
	return err == nil
}

// call asks the registry once. Its errors carry nothing that the registry wrote,
// which may repeat what it was sent.
func call[T any](ctx context.Context, r *registry, ask func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	answer, err := ask(ctx)
	if err == nil {
		return answer, nil
	}
	refused, ok := errors.AsType[*sr.ResponseError](err)
	if !ok {
		return answer, err
	}
	hint := ""
	switch status := refused.StatusCode; {
	case status == http.StatusNotFound && refused.ErrorCode/100 == http.StatusNotFound:
		return answer, errUnknown
	case status == http.StatusNotFound:
		return answer, errNotFound
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		hint = "; are user and password in decode.registry_url right?"
	case status < http.StatusInternalServerError && status != http.StatusTooManyRequests:
		hint = "; is decode.registry_url right?"
	}
	return answer, fmt.Errorf("it answered %d %s%s", refused.StatusCode, http.StatusText(refused.StatusCode), hint)
}
