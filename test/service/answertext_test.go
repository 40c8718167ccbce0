package service_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

// TestTextOfAnswersReachesDeadLettersOnly has every kind of answer name a person, until
// the service pauses, and looks through the log, the spans and the metrics.
func TestTextOfAnswersReachesDeadLettersOnly(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		exporter := tracetest.NewInMemoryExporter()
		w.tracer = sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter)).Tracer("test")
		w.level = slog.LevelDebug
		w.cfg.Processor.MaxAttempts, w.cfg.Processor.Patience, w.cfg.Processor.ProfileOutcome = 2, 0, true
		w.setFaults(echoes)
		var records []outgoing
		for i := range 10 {
			records = append(records, decisionOn(w.cfg.Kafka.Topics.Decisions, task(i, i), decision.CompletedPass))
			for j := range 10 { // good ones in between, so that there is no outage
				records = append(records, decisionOn(w.cfg.Kafka.Topics.Decisions, task(i, 0x1000*(i+1)+0x10*j), decision.CompletedPass))
			}
		}
		w.send(records...)
		m := w.start()
		w.awaitAllBusy(30 * time.Minute)
		// Now nothing but failures, on tasks, lists and whoami.
		for status, body := range map[int]string{500: "<p>" + markedPerson, 404: "<p>" + markedPerson, 403: `{"errors":[{"message":"` + markedPerson + `"}]}`} {
			w.setFaults(func(sandbox.Call) sandbox.Fault { return answer(status, body) })
			for i := range 20 {
				w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, task(1, status*0x100+i), decision.CompletedPass),
					decisionByKey(w.cfg.Kafka.Topics.Decisions, task(status, i+1), "alias", "a", decision.CompletedPass))
			}
			time.Sleep(5 * time.Minute)
			w.setFaults(nil)
			time.Sleep(5 * time.Minute)
		}
		series := fmt.Sprint(m.series())
		m.stop()
		shown := map[string]string{"a span": fmt.Sprintf("%+v", exporter.GetSpans()), "a metric": series}
		for _, line := range w.logLines("") {
			shown["the log line "+line] = line
		}
		for where, text := range shown {
			if strings.Contains(text, markedPerson) {
				t.Errorf("%s has the text of an answer", where)
			}
		}
		letters := 0
		for _, d := range w.deadLetters() {
			if strings.Contains(d.Error, markedPerson) {
				letters++
			}
		}
		if letters < 6 {
			t.Errorf("%d dead letters have the text of their answer", letters)
		}
		for _, want := range []string{`level=DEBUG msg="decision will be tried again"`, "pause=outage", "pause=auth", "reason=rejected"} {
			if len(w.logLines(want)) == 0 {
				t.Errorf("the log has no line with %s", want)
			}
		}
	})
}

func TestDeadLettersAreLoggedSampledByReason(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit, w.cfg.Processor.Guard = 20, 0
		w.setFaults(func(c sandbox.Call) sandbox.Fault {
			switch {
			case c.Operation == passfort.OpWhoAmI:
				return sandbox.Fault{}
			case c.TaskID == task(1, 1).TaskID:
				return sandbox.Refusal(400)
			}
			return sandbox.Refusal(404)
		})
		w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, task(1, 1), decision.CompletedPass, `"id":"d-1"`))
		for i := range 3000 {
			w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, task(2, 2+i), decision.CompletedPass))
		}
		m := w.start()
		w.awaitAll(time.Hour)
		m.stop()
		lines := w.logLines("dead-lettered")
		rejected, counted := 0, 0
		for _, line := range lines {
			var n int
			if _, after, ok := strings.Cut(line, "dead_letters="); ok {
				_, _ = fmt.Sscan(after, &n)
			}
			counted += n
			if strings.Contains(line, "reason=rejected") {
				rejected++
				for _, want := range []string{"level=WARN", "decision_id=d-1", "origin=" + w.cfg.Kafka.Topics.Decisions + "/", "dead_letters=1"} {
					if !strings.Contains(line, want) {
						t.Errorf("no %s in %s", want, line)
					}
				}
			}
		}
		if rejected != 1 || len(lines) < 4 || len(lines) > 10 || counted < 2000 {
			t.Errorf("%d lines for %d dead letters, %d of them about the one that was rejected:\n%s", len(lines), counted, rejected, lines)
		}
	})
}
