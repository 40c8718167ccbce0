package ledger_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"verdict/internal/decision"
	"verdict/internal/ledger"
)

const group = "verdict"

var at = time.Date(2026, 11, 12, 9, 0, 0, 0, time.UTC)

// log is a control topic as the tests write it.
type log struct {
	t      *testing.T
	state  *ledger.State
	offset int64
}

func newLog(t *testing.T, trusted ledger.Trusted) *log {
	return &log{t: t, state: ledger.New(group, trusted)}
}

// record returns an entry as a record of the group's.
func record(t *testing.T, of string, key ledger.Key, e ledger.Entry) decision.Record {
	t.Helper()
	value, err := e.Encode(of, key)
	if err != nil {
		t.Fatal(err)
	}
	return decision.Record{Topic: "control", Key: []byte(key.In(of)), Value: value}
}

// add appends a record and applies it.
func (l *log) add(rec decision.Record) error {
	l.t.Helper()
	rec.Offset = l.offset
	l.offset++
	_, err := l.state.Apply(&rec)
	return err
}

func (l *log) mustAdd(rec decision.Record) {
	l.t.Helper()
	if err := l.add(rec); err != nil {
		l.t.Fatal(err)
	}
}

func (l *log) wantRefused(rec decision.Record, why string) {
	l.t.Helper()
	err := l.add(rec)
	if _, ok := errors.AsType[*ledger.Refused](err); !ok || !strings.Contains(err.Error(), why) {
		l.t.Errorf("got %v, want it refused: %s", err, why)
	}
}

func hold(held bool) ledger.Entry {
	return ledger.Entry{At: at, Author: ledger.Author{Actor: "ops"}, Hold: &ledger.Hold{Held: held}}
}

func TestLastValidRecordOfAKeyCounts(t *testing.T) {
	l := newLog(t, nil)
	key := ledger.HoldBatch("a/b c")
	l.mustAdd(record(t, group, key, hold(true)))
	l.mustAdd(record(t, group, ledger.HoldLane(decision.Backfill), hold(true)))
	if !l.state.Hold(key).Held || l.state.Previous(key) != 0 {
		t.Errorf("held: %+v, its record is at %d", l.state.Hold(key), l.state.Previous(key))
	}
	l.mustAdd(record(t, group, key, hold(false)))
	if l.state.Hold(key).Held || l.state.Previous(key) != 2 {
		t.Errorf("not held: %+v, its record is at %d", l.state.Hold(key), l.state.Previous(key))
	}
}

func TestRecordsThatCountForNothing(t *testing.T) {
	key := ledger.HoldLane(decision.Live)
	good := record(t, group, key, hold(true))
	change := func(of func(*decision.Record)) decision.Record {
		rec := good
		of(&rec)
		return rec
	}
	for name, tc := range map[string]struct {
		rec decision.Record
		why string
	}{
		"no JSON":     {change(func(r *decision.Record) { r.Value = []byte("hold") }), "not a record of the ledger"},
		"too large":   {change(func(r *decision.Record) { r.Value = make([]byte, 2<<20) }), "more than 1048576"},
		"another key": {change(func(r *decision.Record) { r.Key = []byte(ledger.HoldLane(decision.Backfill).In(group)) }), "written for another key"},
		"another kind": {change(func(r *decision.Record) {
			r.Value = []byte(`{"key":"verdict/hold/lane/live","at":"2026-11-12T09:00:00Z","rate":{"per_second":1}}`)
		}), "does not say what a hold is"},
		"no time":         {change(func(r *decision.Record) { r.Value = []byte(`{"key":"verdict/hold/lane/live","hold":{"held":false}}`) }), "when"},
		"an unknown kind": {change(func(r *decision.Record) { r.Key = []byte("verdict/holiday/x") }), "knows no such key"},
		"a removed hold":  {change(func(r *decision.Record) { r.Value = nil }), "only an instance"},
		"a long reason": {change(func(r *decision.Record) {
			r.Value = []byte(`{"key":"verdict/hold/lane/live","at":"2026-11-12T09:00:00Z","why":"` + strings.Repeat("x", 2000) + `","hold":{"held":false}}`)
		}), "longer than"},
		"a negative rate":    {decision.Record{Key: []byte("verdict/rate"), Value: []byte(`{"key":"verdict/rate","at":"2026-11-12T09:00:00Z","rate":{"per_second":-1}}`)}, "its rate is -1"},
		"a rate with a name": {decision.Record{Key: []byte("verdict/rate/x"), Value: []byte(`{}`)}, "knows no such key"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLog(t, nil)
			l.mustAdd(good)
			l.wantRefused(tc.rec, tc.why)
			if !l.state.Hold(key).Held {
				t.Error("what the key held before counts no more")
			}
		})
	}
}

func TestGroupsDoNotSeeEachOther(t *testing.T) {
	l := newLog(t, nil)
	for _, other := range []string{"verdict2", "verdict/hold", "verdic", "x/verdict", "verdict%2Fhold"} {
		l.mustAdd(record(t, other, ledger.HoldLane(decision.Live), hold(true)))
		l.mustAdd(record(t, other, ledger.BatchKey("hold/lane/live"), ledger.Entry{At: at, Batch: &ledger.Batch{}}))
	}
	if !l.state.Empty() {
		t.Errorf("the state has what is of other groups: %+v", l.state.Orders(at))
	}
}

func TestRateEndsByItself(t *testing.T) {
	l := newLog(t, nil)
	l.mustAdd(record(t, group, ledger.RateKey(), ledger.Entry{At: at, Rate: &ledger.Rate{PerSecond: 5, Until: at.Add(time.Hour)}}))
	for after, want := range map[time.Duration]float64{0: 5, time.Hour - 1: 5, time.Hour: 0} {
		if got, _ := l.state.Rate(at.Add(after)); got != want {
			t.Errorf("after %v: %v, want %v", after, got, want)
		}
	}
}

func TestInstanceIsRemoved(t *testing.T) {
	l := newLog(t, nil)
	key := ledger.InstanceKey("a")
	l.mustAdd(record(t, group, key, ledger.Entry{At: at, Instance: &ledger.Instance{Status: "ready=true"}}))
	l.mustAdd(decision.Record{Key: []byte(key.In(group))})
	for k := range l.state.Of(ledger.KindInstance) {
		t.Errorf("%v is left", k)
	}
}

func TestOrdersNameWhatIsHeldAndCancelled(t *testing.T) {
	l := newLog(t, nil)
	task := decision.NewTask("ABCD", "EF")
	l.mustAdd(record(t, group, ledger.BatchKey("b"), ledger.Entry{At: at, Batch: &ledger.Batch{Runs: []string{"r1", "r2"}}}))
	l.mustAdd(record(t, group, ledger.BatchKey("free"), ledger.Entry{At: at, Batch: &ledger.Batch{Runs: []string{"r3"}}}))
	cancelled := hold(false)
	cancelled.Hold.Cancelled = map[string]map[int]int64{"backfill": {2: 7}}
	l.mustAdd(record(t, group, ledger.HoldBatch("b"), cancelled))
	l.mustAdd(record(t, group, ledger.HoldBatch("free"), hold(false)))
	l.mustAdd(record(t, group, ledger.HoldLane(decision.Backfill), hold(true)))
	l.mustAdd(record(t, group, ledger.HoldTask(task), hold(true)))
	o := l.state.Orders(at)
	if o.BatchOf["r1"] != "b" || o.BatchOf["r2"] != "b" || o.BatchOf["r3"] != "free" || o.Batches["b"].Cancelled["backfill"][2] != 7 ||
		len(o.Batches) != 1 || o.Lanes != [2]bool{false, true} || !o.Tasks[task] || len(o.Tasks) != 1 {
		t.Errorf("%+v", o)
	}
}

// signed returns an entry as a record that its actor signed.
func signed(t *testing.T, private ed25519.PrivateKey, key ledger.Key, previous int64, e ledger.Entry) decision.Record {
	t.Helper()
	rec := record(t, group, key, e)
	rec.Headers = ledger.Sign(private, group, key, previous, rec.Value)
	return rec
}

func TestOnlySignedRecordsOfTrustedActorsCount(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, other, _ := ed25519.GenerateKey(nil)
	trusted, err := ledger.ParseTrusted("# the two\n\nops " + base64.StdEncoding.EncodeToString(public) + "\n")
	if err != nil {
		t.Fatal(err)
	}
	l := newLog(t, trusted)
	key := ledger.HoldLane(decision.Live)
	first := signed(t, private, key, -1, hold(true))
	l.mustAdd(first)
	by := hold(false)
	by.Actor = "somebody"
	l.wantRefused(record(t, group, key, hold(false)), "not signed")
	l.wantRefused(signed(t, private, key, 0, by), `no key of "somebody"`)
	l.wantRefused(signed(t, other, key, 0, hold(false)), "not one of")
	l.wantRefused(first, "a repetition")
	moved := signed(t, private, ledger.HoldLane(decision.Backfill), -1, hold(true))
	moved.Key = []byte(ledger.HoldBatch("x").In(group))
	l.wantRefused(moved, "another key")
	changed := signed(t, private, key, 0, hold(false))
	changed.Value = record(t, group, key, hold(true)).Value
	l.wantRefused(changed, "not one of")
	l.mustAdd(signed(t, private, key, 0, hold(false)))
	l.wantRefused(first, "a repetition")
	if l.state.Hold(key).Held {
		t.Error("the lane is held by a repetition")
	}
	l.wantRefused(signed(t, private, key, 999, hold(true)), "does not")
	// Instances sign nothing.
	l.mustAdd(record(t, group, ledger.InstanceKey("a"), ledger.Entry{At: at, Instance: &ledger.Instance{}}))
}

// Compaction keeps the last record of each key, and only that.
func TestCompactedCommandsAreKnownByTheirWitnesses(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	trusted := ledger.Trusted{"ops": {public}}
	key := ledger.HoldLane(decision.Live)
	first, second := signed(t, private, key, -1, hold(true)), signed(t, private, key, 0, hold(false))
	third := signed(t, private, key, 1, hold(true))
	witness := func(rec decision.Record) decision.Record {
		value, err := (&ledger.Act{Key: string(rec.Key), Entry: rec.Value}).Encode()
		if err != nil {
			t.Fatal(err)
		}
		return decision.Record{Key: rec.Key, Value: value, Headers: rec.Headers}
	}
	forged := witness(record(t, group, key, hold(true)))
	forged.Headers = ledger.Sign(ed25519.NewKeyFromSeed(make([]byte, 32)), group, key, 500, record(t, group, key, hold(true)).Value)
	garbage := decision.Record{Key: third.Key, Value: []byte("x")}
	for name, tc := range map[string]struct {
		left    decision.Record
		counts  bool
		missing bool
	}{
		"the last":             {third, true, false},
		"a repeated first":     {first, false, true},
		"a repeated second":    {second, false, true},
		"one that is not read": {garbage, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLog(t, trusted)
			for _, rec := range []decision.Record{witness(first), garbage, witness(second), forged, witness(third)} {
				l.state.Witness(&rec)
			}
			l.offset = 7
			if err := l.add(tc.left); (err == nil) != tc.counts {
				t.Errorf("the record that is left: %v", err)
			}
			if missing := l.state.Missing(); (len(missing) == 1) != tc.missing {
				t.Errorf("missing: %v", missing)
			}
		})
	}
}

func TestTopicMadeAgainAppliesOnTopOfWhatIsKnown(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	l := newLog(t, ledger.Trusted{"ops": {public}})
	held, other := ledger.HoldLane(decision.Live), ledger.HoldLane(decision.Backfill)
	l.mustAdd(record(t, group, ledger.InstanceKey("a"), ledger.Entry{At: at, Instance: &ledger.Instance{}}))
	if !l.state.Blank() {
		t.Error("an instance alone is what people did")
	}
	l.mustAdd(signed(t, private, held, -1, hold(true)))
	l.mustAdd(signed(t, private, other, -1, hold(true)))
	l.state.Restart()
	l.offset = 0
	if l.state.Blank() || !l.state.Hold(held).Held {
		t.Error("what was known is forgotten")
	}
	l.mustAdd(signed(t, private, held, -1, hold(false)))
	l.mustAdd(signed(t, private, held, 0, hold(true)))
	l.mustAdd(signed(t, private, held, 1, hold(false)))
	l.mustAdd(signed(t, private, other, l.state.Previous(other), hold(false)))
	l.mustAdd(signed(t, private, other, l.state.Previous(other), hold(true)))
	if l.state.Hold(held).Held || !l.state.Hold(other).Held {
		t.Errorf("live %+v, backfill %+v", l.state.Hold(held), l.state.Hold(other))
	}
}

func TestParseTrustedNamesTheLine(t *testing.T) {
	for text, why := range map[string]string{
		"":             "names nobody",
		"# a\nops\n":   "line 2: it has 1 words",
		"ops AAAA":     "line 1: the key of ops is not",
		"ops not-base": "line 1: the key of ops is not",
	} {
		if _, err := ledger.ParseTrusted(text); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, want %s", text, err, why)
		}
	}
}

func TestOrdersNameTheRunsThatMayOverwrite(t *testing.T) {
	l := newLog(t, nil)
	for id, b := range map[string]ledger.Batch{
		"redrive-a": {Redrive: true, Overwrite: true, Runs: []string{"a"}},
		"redrive-b": {Redrive: true, Runs: []string{"b"}},
		"submitted": {Overwrite: true, Runs: []string{"c"}},
	} {
		l.mustAdd(record(t, group, ledger.BatchKey(id), ledger.Entry{At: at, Batch: &b}))
	}
	if o := l.state.Orders(at).Overwrite; len(o) != 1 || !o["a"] {
		t.Errorf("%v may overwrite", o)
	}
}

func TestSignerIsChecked(t *testing.T) {
	public, private, _ := ed25519.GenerateKey(nil)
	_, other, _ := ed25519.GenerateKey(nil)
	trusted := ledger.Trusted{"ops": {public}}
	for name, tc := range map[string]struct {
		trusted ledger.Trusted
		actor   string
		key     ed25519.PrivateKey
		why     string // empty: its commands count
	}{
		"nobody has to sign": {nil, "anyone", nil, ""},
		"good":               {trusted, "ops", private, ""},
		"no key":             {trusted, "ops", nil, "control.sign_key_file"},
		"another actor":      {trusted, "dev", private, "use --actor ops"},
		"an unknown key":     {trusted, "ops", other, `add the line "ops `},
	} {
		err := tc.trusted.CheckSigner(tc.actor, tc.key)
		if tc.why == "" && err != nil || tc.why != "" && (err == nil || !strings.Contains(err.Error(), tc.why)) {
			t.Errorf("%s: %v, want %q", name, err, tc.why)
		}
	}
}
