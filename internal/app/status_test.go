package app

import (
	"bytes"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"verdict/internal/decision"
	"verdict/processor"
)

// at is the time of the statuses below.
var at = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func TestStatusNamesWhyItIsNotReady(t *testing.T) {
	auth := &processor.Status{Pauses: []processor.Pause{{Cause: decision.PausedAuth, Since: at}}}
	outage := &processor.Status{Pauses: []processor.Pause{{Cause: decision.PausedOutage, Since: at.Add(-time.Hour)}}}
	for _, c := range []struct {
		status Status
		want   string
	}{
		{Status{}, "not a member of the consumer group yet"},
		{Status{KafkaSince: at, KafkaWhy: "Kafka is away"}, "not a member of the consumer group: Kafka is away"},
		{Status{Joined: true}, ""},
		{Status{Joined: true, Stopping: true}, "stopping"},
		{Status{Joined: true, Work: auth}, "the API key is refused"},
		{Status{Joined: true, Work: outage}, ""},
		{Status{Joined: true, KafkaSince: at.Add(-time.Minute), KafkaWhy: "Kafka is away"}, ""},
		{Status{Joined: true, KafkaSince: at.Add(-time.Minute - 1), KafkaWhy: "Kafka is away"}, "Kafka is away"},
	} {
		c.status.At = at
		if got := c.status.NotReady(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.status, got, c.want)
		}
		ready := "ready=true "
		if c.want != "" {
			ready = "ready=false why="
		}
		if line := c.status.String(); !strings.HasPrefix(line, ready) {
			t.Errorf("%+v: %s", c.status, line)
		}
	}
}

// full returns a status with every fact.
func full() Status {
	work := processor.Status{
		Pauses:      []processor.Pause{{Cause: decision.PausedOutage, Since: at.Add(-90 * time.Second)}, {Cause: decision.PausedKafka, Since: at}},
		RateAllowed: 12.5, RateUsed: 4.0 / 3, InFlight: 2, DeadLetters: 3,
	}
	work.Lanes[decision.Live] = processor.LaneStatus{Pending: 4, Oldest: &processor.Oldest{
		DecisionID: "d 1=\n\u202eready=true", Origin: decision.Position{Topic: "task-decisions", Partition: 3, Offset: 17}, Time: at.Add(-time.Hour),
		Wait: processor.WaitRetry, Attempts: 5, Cause: decision.RetryServerError, Due: at.Add(12340 * time.Millisecond),
	}}
	work.Lanes[decision.Backfill] = processor.LaneStatus{
		Pending: 5, Pauses: []processor.LanePause{{Cause: decision.LanePausedOutage, Since: at.Add(-89500 * time.Millisecond)}},
		Oldest: &processor.Oldest{Origin: decision.Position{Topic: "b", Offset: 1}, Wait: processor.WaitReading, Time: at.Add(time.Second)},
	}
	return Status{
		At: at, Joined: true, Partitions: 8, KafkaSince: at.Add(-2 * time.Minute), KafkaWhy: "requests\nfail",
		Backlog: [...]int64{1000000, 7}, Work: &work,
	}
}

func TestStatusIsOneLineOfNamedFacts(t *testing.T) {
	s := full()
	want := `ready=false why="requests fail" paused=outage:1m30s,kafka:2m0s lane_paused=backfill/outage:1m30s` +
		` rate.used=1.33 rate.allowed=12.5 backlog.live=1000000 backlog.backfill=7 pending.live=4 pending.backfill=5` +
		` in_flight=2 dead_letters=3 partitions=8` +
		` oldest.live.decision_id="d 1=\n\u202eready=true" oldest.live.origin=task-decisions/3/17 oldest.live.age=1h0m0s` +
		` oldest.live.waits_for=retry oldest.live.attempts=5 oldest.live.cause=server_error oldest.live.next_in=12.3s` +
		` oldest.backfill.origin=b/0/1 oldest.backfill.age=0s oldest.backfill.waits_for=reading oldest.backfill.attempts=0`
	if got := s.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}

	idle := Status{At: at, Joined: true, Partitions: 8, Work: &processor.Status{RateAllowed: math.Inf(1)}}
	want = `ready=true paused=none lane_paused=none rate.used=0 backlog.live=0 backlog.backfill=0` +
		` pending.live=0 pending.backfill=0 in_flight=0 dead_letters=0 partitions=8`
	if got := idle.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}

	decide := Status{At: at, Joined: true, Partitions: 4}
	if got, want := decide.String(), "ready=true paused=none partitions=4"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestStatusLogLineIsTheSameInTextAndSoundInJSON(t *testing.T) {
	s := full()
	var text, json bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).LogAttrs(t.Context(), slog.LevelInfo, "status", s.attrs()...)
	if !strings.HasSuffix(text.String(), " msg=status "+s.String()+"\n") {
		t.Errorf("the log line is %s", text.String())
	}
	slog.New(slog.NewJSONHandler(&json, nil)).LogAttrs(t.Context(), slog.LevelInfo, "status", s.attrs()...)
	for _, want := range []string{
		`"rate":{"used":1.33,"allowed":12.5}`, `"backlog":{"live":1000000,"backfill":7}`, `"oldest":{"live":{"decision_id":"d 1=\n`,
	} {
		if !strings.Contains(json.String(), want) {
			t.Errorf("no %s in %s", want, json.String())
		}
	}
	s.Work.RateAllowed = math.Inf(1)
	json.Reset()
	slog.New(slog.NewJSONHandler(&json, nil)).LogAttrs(t.Context(), slog.LevelInfo, "status", s.attrs()...)
	if strings.Contains(json.String(), "ERROR") {
		t.Errorf("the log line of an unlimited rate is %s", json.String())
	}
}
