package service_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/configs"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

// statusLine waits for the next log line with the status, and returns it.
func (w *world) statusLine() string {
	w.t.Helper()
	before := len(w.logLines("msg=status "))
	w.await(time.Minute+time.Second, "the log says the status each minute", func() bool { return len(w.logLines("msg=status ")) > before })
	lines := w.logLines("msg=status ")
	return strings.TrimSpace(lines[len(lines)-1])
}

// wantStatus wants the next line with the status to match patterns.
func (w *world) wantStatus(patterns ...string) {
	w.t.Helper()
	line := w.statusLine()
	for _, pattern := range patterns {
		if !regexp.MustCompile(`(^| )` + pattern + `( |$)`).MatchString(line) {
			w.t.Errorf("no %s in\n%s", pattern, line)
		}
	}
}

func TestStatusOfAHealthyServiceIsOneLineAMinute(t *testing.T) {
	inWorld(t, steadyAPI, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = 10
		w.send(passes(w.cfg.Kafka.Topics.Backfill, 1500)...)
		m := w.start()
		w.wantStatus("level=INFO", "ready=true", "paused=none", "lane_paused=none", `rate\.used=(9\.\d+|10\.\d+|10)`, `rate\.allowed=10`,
			`backlog\.live=0`, `backlog\.backfill=(89\d|9\d\d)`, `pending\.live=0`, `pending\.backfill=[1-9]\d*`, `in_flight=\d`,
			"dead_letters=0", "partitions=8", `oldest\.backfill\.attempts=0`)
		time.Sleep(9*time.Minute + time.Second)
		if n := len(w.logLines("msg=status ")); n != 10 {
			t.Errorf("%d lines in ten minutes", n)
		}
		if line := w.statusLine(); strings.Contains(line, "oldest.") || !strings.Contains(line, "rate.used=0 ") || !strings.Contains(line, "backlog.backfill=0 ") {
			t.Errorf("when all is done: %s", line)
		}
		m.stop()
	})
}

func TestStatusIsNotReadyWithKafkaAway(t *testing.T) {
	inWorld(t, steadyAPI, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = 10
		m := w.start()
		m.awaitJoined()
		w.send(passes(w.cfg.Kafka.Topics.Decisions, 10)...)
		w.awaitAll(time.Minute)
		if m.metric("verdict_ready") != 1 {
			t.Error("not ready while all is well")
		}
		w.network.Cut(w.kafka.Addrs()...) // while nothing is to be done
		time.Sleep(2 * time.Minute)
		w.wantStatus("ready=false", `why="[^"]*Kafka requests fail.*"`, `paused=kafka:[23]m\d+s`)
		if m.metric("verdict_ready") != 0 {
			t.Error("the metric says ready with Kafka away")
		}
		w.network.Mend(w.kafka.Addrs()...)
		w.await(2*time.Minute, "ready", func() bool { return m.metric("verdict_ready") == 1 })
		w.wantStatus("ready=true", "paused=none", "partitions=8")
		m.stop()
	})
}

// TestStatusGivesKafkaAMinute has a Kafka that refuses results but keeps its members.
func TestStatusGivesKafkaAMinute(t *testing.T) {
	inWorld(t, steadyAPI, func(t *testing.T, w *world) {
		m := w.start()
		m.awaitJoined()
		w.kafka.Inject(embedded.Fault{API: embedded.Produce, Topic: w.cfg.Kafka.Topics.Results, Code: int(kafka.NotEnoughReplicas), Times: 1 << 30})
		w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, task(1, 1), decision.CompletedPass, `"id":"d-1"`))
		w.await(time.Minute, "paused", func() bool { return m.paused(decision.PausedKafka) })
		time.Sleep(59 * time.Second)
		if m.metric("verdict_ready") != 1 {
			t.Error("not ready after less than a minute")
		}
		time.Sleep(2 * time.Second)
		if m.metric("verdict_ready") != 0 {
			t.Error("ready after more than a minute")
		}
		w.wantStatus("ready=false", `why="Kafka requests fail \(publish: .*"`, `paused=kafka:\d+m\d+s`, "partitions=8", `backlog\.live=1`,
			`oldest\.live\.decision_id=d-1`, `oldest\.live\.waits_for=storage`, `oldest\.live\.attempts=1`)
		if !m.paused(decision.PausedKafka) {
			t.Error("the pause is over")
		}
		m.cancel() // what Kafka does not take can't be drained
		if err := m.wait(); err != nil {
			t.Log(err)
		}
	})
}

// TestStatusNamesAPoisonDecision has one whose ID looks like a part of the line.
func TestStatusNamesAPoisonDecision(t *testing.T) {
	inWorld(t, steadyAPI, func(t *testing.T, w *world) {
		topic := w.cfg.Kafka.Topics.Decisions
		poison := task(7, 7)
		w.setFaults(poisoned(poison.ProfileID))
		w.send(decisionOn(topic, poison, decision.CompletedPass, `"id":"d\" ready=false"`))
		m := w.start(func(c *configs.Config) { c.Processor.MaxAttempts = 1000 })
		for i := range 70 {
			w.send(decisionOn(topic, task(1000+i, i), decision.CompletedPass))
			time.Sleep(time.Second)
		}
		w.wantStatus("ready=true", "paused=none", `backlog\.live=1`, `pending\.live=1`,
			`oldest\.live\.decision_id="d\\" ready=false"`, `oldest\.live\.origin=`+topic+`/\d/0`, `oldest\.live\.age=2m0s`,
			`oldest\.live\.waits_for=(retry|turn|call)`, `oldest\.live\.attempts=([5-9]|\d\d)`)
		w.await(time.Minute, "the line names the next attempt", func() bool {
			lines := w.logLines("msg=status ")
			return regexp.MustCompile(`waits_for=retry oldest\.live\.attempts=\d+ oldest\.live\.cause=server_error oldest\.live\.next_in=\d+(\.\d)?s`).
				MatchString(lines[len(lines)-1])
		})
		w.setFaults(nil)
		w.awaitAll(10 * time.Minute)
		m.stop()
	})
}

func TestStatusShowsAnOutageWithItsAge(t *testing.T) {
	inWorld(t, steadyAPI, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = 20
		w.send(passes(w.cfg.Kafka.Topics.Backfill, 600)...)
		m := w.start()
		w.await(time.Minute, "some are done", func() bool { return w.count(w.cfg.Kafka.Topics.Results) > 100 })
		w.setFaults(func(sandbox.Call) sandbox.Fault { return answer(503, "") })
		w.await(time.Minute, "paused", func() bool { return m.paused(decision.PausedOutage) })
		time.Sleep(5 * time.Minute)
		w.wantStatus("ready=true", `paused=outage:[56]m\d+s`, `lane_paused=(live/outage:\S+,)?backfill/outage:[56]m\d+s`,
			`rate\.used=0\.\d+`, `backlog\.backfill=[1-9]\d*`, `oldest\.backfill\.waits_for=(pause|call|retry)`)
		w.setFaults(nil)
		w.awaitAll(30 * time.Minute)
		w.wantStatus("paused=none", "lane_paused=none", `backlog\.backfill=0`)
		m.stop()
	})
}

func TestStatusOfARefusedKeyIsNotReady(t *testing.T) {
	inWorld(t, steadyAPI, func(t *testing.T, w *world) {
		m := w.start()
		m.awaitJoined()
		w.api.SetKey("another")
		w.send(passes(w.cfg.Kafka.Topics.Decisions, 10)...)
		w.await(time.Minute, "paused", func() bool { return m.paused(decision.PausedAuth) })
		if m.metric("verdict_ready") != 0 {
			t.Error("ready with a refused key")
		}
		w.wantStatus("ready=false", `why="the API key is refused"`, `paused=auth:\S+`, `oldest\.live\.waits_for=(pause|retry)`)
		w.api.SetKey(apiKey)
		w.awaitAll(10 * time.Minute)
		m.stop()
	})
}

// TestBacklogIsWhatIsLeft has a decision that waits while those behind it settle, and
// instances that come and go.
func TestBacklogIsWhatIsLeft(t *testing.T) {
	inWorld(t, steadyAPI, func(t *testing.T, w *world) {
		topic := w.cfg.Kafka.Topics.Decisions
		stuck := task(7, 0)
		w.setFaults(func(c sandbox.Call) sandbox.Fault {
			if c.TaskID == stuck.TaskID && c.Operation == passfort.OpComplete {
				return answer(500, "")
			}
			return sandbox.Fault{}
		})
		records := []outgoing{decisionOn(topic, stuck, decision.CompletedPass)}
		for i := range 500 { // on one profile, so in one partition
			records = append(records, decisionOn(topic, task(7, 1+i), decision.CompletedPass))
		}
		w.send(records...)
		patient := func(c *configs.Config) { c.Processor.MaxAttempts = 1000 }
		a := w.start(patient)
		live := func(m *member) float64 { return m.metric("verdict_backlog", "lane", "live") }
		w.await(time.Minute, "all but one are done", func() bool { return live(a) == 1 && w.count(w.cfg.Kafka.Topics.Results) == 500 })
		time.Sleep(10 * time.Second)
		if lag := a.metric("verdict_consumer_lag"); lag != 501 || live(a) != 1 {
			t.Errorf("the lag is %v and the backlog %v, want 501 and 1", lag, live(a))
		}
		b := w.start(patient)
		w.await(time.Minute, "both own partitions", func() bool {
			return a.metric("verdict_partitions_assigned") == 4 && b.metric("verdict_partitions_assigned") == 4
		})
		if live(a)+live(b) != 1 || a.metric("verdict_backlog", "lane", "backfill")+b.metric("verdict_backlog", "lane", "backfill") != 0 {
			t.Errorf("the backlogs are %v and %v, want one", live(a), live(b))
		}
		a.stop()
		w.await(time.Minute, "the other owns all", func() bool { return live(b) == 1 && b.metric("verdict_partitions_assigned") == 8 })
		if live(a) != 0 {
			t.Errorf("an instance that was stopped has a backlog of %v", live(a))
		}
		w.setFaults(nil)
		w.awaitAll(10 * time.Minute)
		w.await(time.Second, "nothing is left", func() bool { return live(b) == 0 })
		b.stop()
	})
}
