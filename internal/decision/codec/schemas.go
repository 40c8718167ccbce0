package codec

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"verdict/internal/decision"
	"verdict/internal/retry"
)

const (
	maxSchemaID = math.MaxInt32
	maxSchemas  = 1000             // schema IDs remembered
	unknownFor  = 30 * time.Second // until an ID that the registry does not know is asked for again
)

// fetchRetry is the wait between requests while the registry can't be queried: 7.5s
// on average after the first few.
var fetchRetry = retry.Policy{Min: 250 * time.Millisecond, Max: 15 * time.Second}

// schema is what is known about a schema ID.
type schema struct {
	kind   sr.SchemaType
	decode func(value []byte) (object []byte, err error) // nil: see fault
	fault  valueError                                    // why values of this ID can't be decoded; empty: they can
	until  time.Time                                     // when to fetch it again; zero: never
}

func (s *schema) fresh() bool { return s != nil && (s.until.IsZero() || time.Now().Before(s.until)) }

// unknownSchema returns the schema of an ID that the registry does not know.
func unknownSchema(format string, args ...any) *schema {
	return &schema{fault: valueErrorf(format, args...), until: time.Now().Add(unknownFor)}
}

// slot holds one schema ID. The caller that has the turn fetches it. The others wait
// for the turn and then find it known, or take over if the first one gave up.
type slot struct {
	turn  chan struct{}          // size 1: full while a caller has the turn
	known atomic.Pointer[schema] // written with the turn; read by all
}

// schemaCache remembers the schemas of the registry, and retries while the registry
// can't be queried.
type schemaCache struct {
	registry *registry
	log      *slog.Logger
	onState  func(waiting bool)

	mu      sync.Mutex
	slots   map[schemaID]*slot
	waiting int    // fetches that failed and are being retried
	logged  string // the failure that was logged last; empty: the registry works
}

func newSchemaCache(r *registry, opts Options) *schemaCache {
	return &schemaCache{
		registry: r, log: opts.Logger.With("registry", r.url), onState: opts.OnState,
		slots: make(map[schemaID]*slot),
	}
}

// get returns the schema of an ID, remembered or fetched. The error is a
// valueError, or ctx's.
func (c *schemaCache) get(ctx context.Context, id schemaID) (*schema, error) {
	slot := c.slotOf(id)
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
			if known, err = c.fetch(ctx, id); err != nil {
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

// slotOf returns the slot of an ID. If there are too many, it drops any other one,
// which has to be fetched again if it is still wanted.
func (c *schemaCache) slotOf(id schemaID) *slot {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.slots[id]
	if s == nil {
		for other := range c.slots {
			if len(c.slots) < maxSchemas {
				break
			}
			delete(c.slots, other)
		}
		s = &slot{turn: make(chan struct{}, 1)}
		c.slots[id] = s
	}
	return s
}

// fetch asks for an ID until the registry answers or ctx ends.
func (c *schemaCache) fetch(ctx context.Context, id schemaID) (*schema, error) {
	failed := false
	defer func() {
		if failed {
			c.addWaiting(-1, ctx.Err() == nil)
		}
	}()
	for n := 1; ; n++ {
		s, err := c.registry.fetch(ctx, id)
		if err == nil {
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !failed {
			failed = true
			c.addWaiting(1, false)
		}
		c.logFailure(id, err)
		if err := retry.Sleep(ctx, fetchRetry.Backoff(n)); err != nil {
			return nil, err
		}
	}
}

// addWaiting counts the fetches that wait, and reports when the first one begins
// and the last one ends. answered says that the registry answered the one that ends.
func (c *schemaCache) addWaiting(n int, answered bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting += n
	if c.waiting == 0 {
		if answered {
			c.log.Info("the Schema Registry answers again", "pause", string(decision.PausedKafka))
		}
		c.logged = ""
	}
	if n > 0 && c.waiting == 1 || c.waiting == 0 {
		c.onState(c.waiting > 0) // under mu, so that the last call reports the last state
	}
}

// logFailure logs a failure, once for as long as it stays the same.
func (c *schemaCache) logFailure(id schemaID, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if text := err.Error(); c.logged != text {
		c.logged = text
		c.log.Warn("the Schema Registry can't be queried; records with an unknown schema wait",
			"pause", string(decision.PausedKafka), "schema", id.String(), "err", text)
	}
}
