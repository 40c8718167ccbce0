package codec

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"verdict/internal/decision"
)

// Bounds of what is taken from the registry.
const (
	maxSchemaID   = math.MaxInt32
	maxSchemas    = 1000             // remembered
	maxAnswer     = 2 << 20          // bytes of one answer; Kafka keeps no schema of more than 1 MiB unasked
	maxReferences = 100              // schemas that one schema is made of, whether directly or not
	unknownFor    = 30 * time.Second // until an ID that the registry does not know is asked for again
	firstWait     = 250 * time.Millisecond
	longestWait   = 10 * time.Second
)

// schema is what is known of a schema ID.
type schema struct {
	kind   sr.SchemaType
	decode func(value []byte) (object []byte, err error)
	fault  misfit    // why there is no decode; empty: there is
	until  time.Time // when to ask again; zero: never
}

// slot holds one schema ID. Whoever has the turn looks it up, the others wait for
// the turn and find it known; a look-up that is given up leaves the turn to them.
type slot struct {
	turn  chan struct{} // size 1: full while somebody has the turn
	known atomic.Pointer[schema]
}

// registry is the Schema Registry with what it said.
type registry struct {
	client *sr.Client
	http   *http.Client
	opts   Options
	log    *slog.Logger
	proved atomic.Bool // it has answered as a registry does

	mu      sync.Mutex
	slots   map[int]*slot
	waiting int    // look-ups that failed and are tried again
	said    string // the failure that was logged last; empty: it works
}

func newRegistry(opts Options) (*registry, error) {
	base, err := url.Parse(opts.RegistryURL)
	if err != nil || base.Host == "" {
		return nil, errors.New("codec: RegistryURL: not a URL with a host") // not repeated: it may hold a password
	}
	login := base.User
	base.User = nil
	transport := &http.Transport{
		DialContext: opts.DialContext, Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second,
		TLSHandshakeTimeout: opts.Timeout, MaxResponseHeaderBytes: 64 << 10,
	}
	r := &registry{
		opts: opts, log: opts.Logger.With("registry", base.String()), slots: make(map[int]*slot),
		http: &http.Client{
			Transport: boundedAnswers{transport},
			// A registry that moved is a configuration to correct, and the password
			// is for the one that is configured.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	clientOpts := []sr.ClientOpt{sr.URLs(base.String()), sr.HTTPClient(r.http), sr.UserAgent(opts.UserAgent)}
	if login != nil {
		password, _ := login.Password()
		clientOpts = append(clientOpts, sr.BasicAuth(login.Username(), password))
	}
	r.client, err = sr.NewClient(clientOpts...)
	return r, err
}

// boundedAnswers cuts answers that are too long; the client reads them whole.
type boundedAnswers struct{ *http.Transport }

func (b boundedAnswers) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.Transport.RoundTrip(req)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
	}
	return resp, err
}

// schema is the schema of an ID, as remembered or looked up. The error is a
// misfit, or ctx's.
func (r *registry) schema(ctx context.Context, id int) (*schema, error) {
	slot := r.slot(id)
	known := slot.known.Load()
	if !known.fresh() {
		select {
		case slot.turn <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		defer func() { <-slot.turn }()
		if known = slot.known.Load(); !known.fresh() {
			var err error
			if known, err = r.await(ctx, id); err != nil {
				return nil, err
			}
			slot.known.Store(known)
		}
	}
	if known.fault != "" {
		return nil, known.fault
	}
	return known, nil
}

func (s *schema) fresh() bool { return s != nil && (s.until.IsZero() || time.Now().Before(s.until)) }

// slot is the slot of an ID. When there are too many, any other one goes: it costs
// a look-up if it was still wanted.
func (r *registry) slot(id int) *slot {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.slots[id]
	if s == nil {
		for other := range r.slots {
			if len(r.slots) < maxSchemas {
				break
			}
			delete(r.slots, other)
		}
		s = &slot{turn: make(chan struct{}, 1)}
		r.slots[id] = s
	}
	return s
}

// await looks an ID up until the registry says what it is.
func (r *registry) await(ctx context.Context, id int) (*schema, error) {
	failed := false
	defer func() {
		if failed {
			r.waits(-1, ctx.Err() == nil)
		}
	}()
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		s, err := r.lookUp(ctx, id)
		if err == nil {
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !failed {
			failed = true
			r.waits(1, false)
		}
		r.say(id, err)
		timer := time.NewTimer(wait/2 + rand.N(wait/2))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
	}
}

// waits counts the look-ups that wait, and tells when there is a first one or
// none any more.
func (r *registry) waits(more int, works bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting += more
	if r.waiting == 0 {
		if works {
			r.log.Info("the Schema Registry answers again", "pause", string(decision.PausedKafka))
		}
		r.said = ""
	}
	if more > 0 && r.waiting == 1 || r.waiting == 0 {
		r.opts.OnState(r.waiting > 0) // under mu, so that the last one told is the last that was
	}
}

// say logs a failure, once as long as it stays the same.
func (r *registry) say(id int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if text := err.Error(); r.said != text {
		r.said = text
		r.log.Warn("the Schema Registry can't be asked; records whose schema is not known yet wait",
			"pause", string(decision.PausedKafka), "schema_id", id, "err", text)
	}
}

// ask asks the registry for some ID's schema, as every look-up does: that it has
// none is as good an answer.
func (r *registry) ask(ctx context.Context) error {
	_, err := call(ctx, r, func(ctx context.Context) (sr.Schema, error) { return r.client.SchemaByID(ctx, 1) })
	if err == errUnknown {
		return nil
	}
	return err
}

// lookUp asks the registry for the schema of an ID and for what that is made of.
// An error means that it can't be asked.
func (r *registry) lookUp(ctx context.Context, id int) (*schema, error) {
	s, err := call(ctx, r, func(ctx context.Context) (sr.Schema, error) { return r.client.SchemaByID(ctx, id) })
	if err == errUnknown {
		return unknown("schema ID %d is not known to the Schema Registry", id), nil
	}
	if err != nil {
		return nil, err
	}
	if s.Schema == "" {
		return nil, errors.New("it answered without a schema; is decode.registry_url right?")
	}
	parts, fault, err := r.references(ctx, s)
	if err != nil {
		return nil, err
	}
	if fault != "" {
		return unknown("schema ID %d %s", id, fault), nil
	}
	decode, err := compile(ctx, s, parts)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return &schema{kind: s.Type, fault: misfitf("its schema (%s, ID %d) can't be used: %s", s.Type, id, decision.OneLine(err.Error(), 300))}, nil
	}
	return &schema{kind: s.Type, decode: decode}, nil
}

func unknown(format string, args ...any) *schema {
	return &schema{fault: misfitf(format, args...), until: time.Now().Add(unknownFor)}
}

// part is a schema that another one refers to by name.
type part struct{ name, text string }

// references is every schema that s is made of, each after those it is made of
// itself.
func (r *registry) references(ctx context.Context, s sr.Schema) (parts []part, fault string, err error) {
	seen := make(map[sr.SchemaReference]bool)
	var walk func(refs []sr.SchemaReference) error
	walk = func(refs []sr.SchemaReference) error {
		for _, ref := range refs {
			if seen[ref] {
				continue
			}
			if len(seen) == maxReferences {
				return misfitf("is made of more than %d others", maxReferences)
			}
			seen[ref] = true
			// One that was deleted since is still what the value was written with.
			found, err := call(sr.WithParams(ctx, sr.ShowDeleted), r, func(ctx context.Context) (sr.SubjectSchema, error) {
				return r.client.SchemaByVersion(ctx, ref.Subject, ref.Version)
			})
			if err == errUnknown {
				return misfitf("is made of %.100q in version %d, which the Schema Registry does not know", ref.Subject, ref.Version)
			}
			if err != nil {
				return err
			}
			if err := walk(found.References); err != nil {
				return err
			}
			parts = append(parts, part{ref.Name, found.Schema.Schema})
		}
		return nil
	}
	err = walk(s.References)
	if bad, ok := errors.AsType[misfit](err); ok {
		return nil, string(bad), nil
	}
	return parts, "", err
}

// errUnknown is a registry's word that it does not have what it was asked for.
var errUnknown = errors.New("not known to the Schema Registry")

// call asks the registry once. Its errors carry nothing that the registry wrote,
// which may repeat what it was sent.
func call[T any](ctx context.Context, r *registry, ask func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
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
	// A 404 of something else than a registry must not be taken for its word:
	// everything would be dead-lettered for a wrong address.
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
