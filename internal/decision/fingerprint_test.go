package decision_test

import (
	"strings"
	"testing"
	"time"

	"verdict/internal/decision"
)

func TestFingerprintFitsTheEndsOfItsOwnDecision(t *testing.T) {
	record := func(value string) decision.Record {
		return decision.Record{Topic: "t", Offset: 7, Time: time.Unix(1000, 0).UTC(), Value: []byte(value)}
	}
	valid := `{"id":"d-1","profile_id":"00000001-aaaa-bbbb-cccc-000000000001","task_id":"00000001-dddd-eeee-ffff-000000000001","state":"COMPLETED_PASS"}`
	readable, unreadable, untimed := record(valid), record(`{"id":"d-1"}`), record("{}")
	untimed.Time = time.Time{}
	d, err := decision.Decode(&readable)
	if err != nil {
		t.Fatal(err)
	}
	result := func(key, id string, at int64) decision.Ended {
		r := decision.Result{DecisionKey: key, DecisionID: id, CompletedAt: decision.Time{Time: time.Unix(at, 0)}}
		return r.Ended()
	}
	// letter is the dead letter of a record at this time that the service could not read.
	letter := func(rec decision.Record, at int64, id string) decision.Ended {
		rec.Time = time.Unix(at, 0)
		dead := decision.DeadRecord{DeadLetter: decision.DeadLetter{DecisionID: id}, Original: rec}
		d, err := decision.Decode(&rec)
		return dead.Ended(&d, err)
	}
	key := d.Identity().String()
	otherKey := strings.Repeat("0f", 16)
	for _, c := range []struct {
		name string
		rec  decision.Record
		end  decision.Ended
		want bool
	}{
		{"same key", readable, result(key, "d-1", 1), true}, // whatever the clocks say
		{"another key", readable, result(otherKey, "d-1", 2000), false},
		{"same ID, no key", readable, result("", "d-1", 2000), true},
		{"another ID, no key", readable, result("", "d-2", 2000), false},
		{"letter of what the service could not read", readable, letter(readable, 1000, ""), true},
		{"letter of another unreadable record", readable, letter(untimed, 500, ""), false},
		{"its letter", unreadable, letter(unreadable, 1000, "d-1"), true},
		{"letter of an older record", unreadable, letter(unreadable, 999, "d-1"), false},
		{"result of what is not readable here", unreadable, result(key, "d-1", 1000), true},
		{"older result", unreadable, result(key, "d-1", 999), false},
		{"end without a time", unreadable, decision.Ended{}, true},
		{"record without a time", untimed, result(key, "d-1", 1), true},
	} {
		d, err := decision.Decode(&c.rec)
		if got := decision.FingerprintOf(&c.rec, &d, err).Fits(c.end); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	e := result(key, "d-1", 1)
	if !e.Fingerprint().Fits(e) || e.Fingerprint().Fits(result(otherKey, "d-2", 1)) || !result("", "d-1", 1).Fingerprint().Fits(e) {
		t.Error("want the fingerprint of an end to fit that decision's ends, and any if it has no key")
	}
}
