package codec

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
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
	timeout time.Duration // of one call
	proved  atomic.Bool   // the server has answered as a registry does
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
	_, err := call(ctx, r, func(ctx context.Context) (sr.Schema, error) { return r.client.SchemaByID(ctx, 1) })
	if errors.Is(err, errUnknown) {
		return nil
	}
	return err
}

// fetch asks for the schema of an ID and for the schemas that it refers to. An
// error means that the registry can't be queried.
func (r *registry) fetch(ctx context.Context, id int) (*schema, error) {
	s, err := call(ctx, r, func(ctx context.Context) (sr.Schema, error) { return r.client.SchemaByID(ctx, id) })
	if errors.Is(err, errUnknown) {
		return unknownSchema("schema ID %d is not known to the Schema Registry", id), nil
	}
	if err != nil {
		return nil, err
	}
	if s.Schema == "" {
		return nil, errors.New("it answered without a schema; is decode.registry_url right?")
	}
	refs, err := r.references(ctx, s)
	if fault, ok := errors.AsType[valueError](err); ok {
		return unknownSchema("schema ID %d %s", id, fault), nil
	}
	if err != nil {
		return nil, err
	}
	decode, err := compile(ctx, s, refs)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return &schema{kind: s.Type, fault: valueErrorf("its schema (%s, ID %d) can't be used: %s", s.Type, id, decision.OneLine(err.Error(), 300))}, nil
	}
	return &schema{kind: s.Type, decode: decode}, nil
}

// reference is a schema that another one refers to by name.
type reference struct{ name, text string }

// references returns every schema that s refers to, each after those that it
// refers to itself. The error is a valueError if s can't be completed.
func (r *registry) references(ctx context.Context, s sr.Schema) ([]reference, error) {
	var all []reference
	seen := make(map[sr.SchemaReference]bool)
	var walk func(refs []sr.SchemaReference) error
	walk = func(refs []sr.SchemaReference) error {
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
			if errors.Is(err, errUnknown) {
				return valueErrorf("refers to %.100q in version %d, which is not known to the Schema Registry", ref.Subject, ref.Version)
			}
			if err != nil {
				return err
			}
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
var errUnknown = errors.New("not known to the Schema Registry")

// call asks the registry once. Its errors carry nothing that the registry wrote,
// which may repeat what it was sent.
func call[T any](ctx context.Context, r *registry, ask func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	answer, err := ask(ctx)
	if err == nil {
		r.proved.Store(true)
		return answer, nil
	}
	refused, ok := errors.AsType[*sr.ResponseError](err)
	if !ok {
		return answer, err
	}
	hint := ""
	switch status := refused.StatusCode; {
	// A 404 from another server than a registry must not make an ID unknown:
	// everything would be dead-lettered because of a wrong address.
	case status == http.StatusNotFound && (refused.ErrorCode/100 == http.StatusNotFound || r.proved.Load()):
		r.proved.Store(true)
		return answer, errUnknown
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		hint = "; are user and password in decode.registry_url right?"
	case status < http.StatusInternalServerError && status != http.StatusTooManyRequests:
		hint = "; is decode.registry_url right?"
	}
	return answer, fmt.Errorf("it answered %d %s%s", refused.StatusCode, http.StatusText(refused.StatusCode), hint)
}
