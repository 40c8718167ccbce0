package rows

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
	"unicode/utf8"

	"verdict/internal/decision"
)

// GeneratorOptions say what generated decisions look like.
type GeneratorOptions struct {
	// Seed seeds all randomness: the same options make the same decisions. Zero is a
	// seed like any other.
	Seed uint64
	// Profiles is the number of profiles. Zero: 10,000.
	Profiles int
	// Repeated is the share of decisions, from 0 to 1, on tasks that get several, some
	// far more than others, so that the order per task matters. Every other decision has
	// a task of its own. Zero: 0.1; below zero: none.
	Repeated float64
	// RepeatedTasks is the number of such tasks. Zero: 1,000.
	RepeatedTasks int
	// Fail is the share of decisions, from 0 to 1, for COMPLETED_FAIL. Zero: 0.1; below
	// zero: none.
	Fail float64
	// Start is the decided_at of the first decision; each later one is 10ms later. Zero:
	// 2026-01-01 00:00 UTC, a fixed time, so that the decisions depend on nothing else.
	Start time.Time
	// BatchID is the decisions' batch_id. Zero: none.
	BatchID string
}

func (o *GeneratorOptions) validate() error {
	var faults []error
	if o.Profiles < 0 {
		faults = append(faults, fmt.Errorf("profiles: must be 0 or more, is %d", o.Profiles))
	}
	if o.RepeatedTasks < 0 {
		faults = append(faults, fmt.Errorf("repeated tasks: must be 0 or more, is %d", o.RepeatedTasks))
	}
	if !(o.Repeated <= 1) {
		faults = append(faults, fmt.Errorf("repeated: must be a share of at most 1, is %v", o.Repeated))
	}
	if !(o.Fail <= 1) {
		faults = append(faults, fmt.Errorf("fail: must be a share of at most 1, is %v", o.Fail))
	}
	if len(o.BatchID) > decision.MaxTextSize || !utf8.ValidString(o.BatchID) {
		faults = append(faults, fmt.Errorf("batch ID: must be UTF-8 text of at most %d bytes", decision.MaxTextSize))
	}
	return errors.Join(faults...)
}

// Generator generates valid decisions without end, and holds none in memory. It is for
// one goroutine.
type Generator struct {
	o    GeneratorOptions
	rand *rand.Rand
	zipf *rand.Zipf // of the repeated tasks
	n    int        // decisions so far
}

// NewGenerator returns a Generator, or every fault of its options.
func NewGenerator(o GeneratorOptions) (*Generator, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	o.Profiles = cmp.Or(o.Profiles, 10_000)
	o.RepeatedTasks = cmp.Or(o.RepeatedTasks, 1000)
	o.Repeated = cmp.Or(o.Repeated, 0.1)
	o.Fail = cmp.Or(o.Fail, 0.1)
	if o.Start.IsZero() {
		o.Start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	r := rand.New(rand.NewPCG(o.Seed, 0))
	// The distribution is flattened at its head: the decisions of a task are carried out
	// one at a time, so a task with thousands of them would keep a run going on its own.
	return &Generator{o: o, rand: r, zipf: rand.NewZipf(r, 1.2, 20, uint64(o.RepeatedTasks-1))}, nil
}

var (
	sources = [...]string{"kyc-decider", "sanctions-screening", "fraud-engine", "manual-review"}
	reasons = [...]string{"", "document and liveness agree", "no match on any list", "match confirmed, second pair of eyes", "re-decided after appeal"}
)

// The kinds of IDs. The kind is mixed into an ID, so that no profile has a task's ID.
const (
	ofProfile = iota + 1
	ofTask
	ofRepeatedTask
)

// Next returns the next decision: demo-000001, demo-000002 and so on. Its Line is its
// number. The error is always nil; it is there so that a Generator can stand in for a
// Reader.
func (g *Generator) Next() (Row, error) {
	g.n++
	n, kind := uint64(g.n), uint64(ofTask)
	if g.rand.Float64() < g.o.Repeated {
		n, kind = g.zipf.Uint64(), ofRepeatedTask
	}
	// A task belongs to one profile, so the profile follows from the task.
	profile := rand.NewPCG(g.o.Seed^kind, n).Uint64() % uint64(g.o.Profiles)
	state := decision.CompletedPass
	if g.rand.Float64() < g.o.Fail {
		state = decision.CompletedFail
	}

	w := newWriter(384)
	w.b = append(w.b, `"id":"demo-`...)
	for digits := 100_000; digits > g.n; digits /= 10 {
		w.b = append(w.b, '0')
	}
	w.b = strconv.AppendInt(w.b, int64(g.n), 10)
	w.b = append(w.b, `","profile_id":"`...)
	at := len(w.b)
	w.b = g.appendID(w.b, ofProfile, profile)
	end := len(w.b)
	w.b = append(w.b, `","task_id":"`...)
	w.b = g.appendID(w.b, kind, n)
	w.b = append(w.b, `","state":"`...)
	w.b = append(w.b, state...)
	w.b = append(w.b, `","decided_at":"`...)
	w.b = g.o.Start.Add(time.Duration(g.n-1)*10*time.Millisecond).UTC().AppendFormat(w.b, "2006-01-02T15:04:05.000Z")
	w.b = append(w.b, `","source":`...)
	w.b = appendString(w.b, sources[g.rand.IntN(len(sources))])
	if reason := reasons[g.rand.IntN(len(reasons))]; reason != "" {
		w.b = append(w.b, `,"reason":`...)
		w.b = appendString(w.b, reason)
	}
	if g.o.BatchID != "" {
		w.b = append(w.b, `,"batch_id":`...)
		w.b = appendString(w.b, g.o.BatchID)
	}
	w.b = append(w.b, '}')
	value, key := w.withKey(w.b[at:end])
	return Row{Line: g.n, Number: int64(g.n), Key: key, Value: value, Raw: value}, nil
}

// appendID appends the ID of the nth profile or task, the same at every call.
func (g *Generator) appendID(b []byte, kind, n uint64) []byte {
	const hex = "0123456789abcdef"
	r := rand.NewPCG(g.o.Seed+kind<<32, n)
	var digits uint64
	for i := range 32 {
		if i%16 == 0 {
			digits = r.Uint64()
		}
		if i == 8 || i == 12 || i == 16 || i == 20 {
			b = append(b, '-')
		}
		b = append(b, hex[digits&15])
		digits >>= 4
	}
	return b
}
