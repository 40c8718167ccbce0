package service_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/sr"

	"verdict/internal/decision"
	"verdict/internal/passfort/sandbox"
)

func TestEveryFormatIsDecodedInOneTopic(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		w.withRegistry(func(r *schemaRegistry) {
			r.SeedSchema("avro", 1, 1, sr.Schema{Schema: avroDecision})
			r.SeedSchema("json", 1, 2, sr.Schema{Schema: `{}`, Type: sr.TypeJSON})
			r.SeedSchema("proto", 1, 3, sr.Schema{
				Schema: `syntax = "proto3"; message Decision { string profile_id = 1; string task_id = 2; bool is_complete = 3; }`, Type: sr.TypeProtobuf,
			})
			topic := w.cfg.Kafka.Topics.Decisions
			header := func(pairs ...string) (all []kafka.Header) {
				for i := 0; i < len(pairs); i += 2 {
					all = append(all, kafka.Header{Key: pairs[i], Value: []byte(pairs[i+1])})
				}
				return all
			}
			structured := decisionOn(topic, task(2, 2), decision.CompletedPass)
			structured.value = `{"specversion":"1.0","id":"ce-2","source":"/two","type":"t","data":` + structured.value + `}`
			structured.headers = header("content-type", "application/cloudevents+json; charset=utf-8")
			inHeaders := decisionOn(topic, task(3, 3), decision.CompletedFail)
			inHeaders.headers = header("ce_specversion", "1.0", "ce_id", "ce-3", "ce_source", "/three", "ce_type", "t", "ce_time", "2026-11-01T06:00:29Z")
			framed := decisionOn(topic, task(5, 5), decision.CompletedPass)
			framed.value = "\x00\x00\x00\x00\x02" + framed.value
			proto := decisionOn(topic, task(6, 6), decision.CompletedPass)
			proto.value = fmt.Sprintf("\x00\x00\x00\x00\x03\x00\x0a\x24%s\x12\x24%s\x18\x01", proto.task.ProfileID, proto.task.TaskID)
			unknown := inAvro(t, topic, 99, task(7, 7))
			misfit := inAvro(t, topic, 1, task(8, 8))
			misfit.value = misfit.value[:20]
			w.send(decisionOn(topic, task(1, 1), decision.CompletedPass, `"id":"json-1"`), structured, inHeaders,
				inAvro(t, topic, 1, task(4, 4)), framed, proto, unknown, misfit)
			m := w.start()
			w.awaitAll(time.Minute)
			m.stop()
			w.checkSettledOnce()
			w.checkCommitted()
			sources := make(map[string]string)
			for _, res := range w.results() {
				sources[res.DecisionID] = res.Source + " " + res.DecidedAt
			}
			if sources["ce-2"] != "/two " || sources["ce-3"] != "/three 2026-11-01T06:00:29Z" || len(sources) != 6 {
				t.Errorf("results %v", sources)
			}
			letters := map[string]string{
				unknown.key: "value: schema ID 99 is not known to the Schema Registry",
				misfit.key:  "value: does not fit its schema (AVRO, ID 1): ",
			}
			for _, d := range w.deadLetters() {
				want := letters[string(d.Original.Key)]
				if d.Reason != decision.InvalidEvent || want == "" || len(d.Error) < len(want) || d.Error[:len(want)] != want {
					t.Errorf("dead letter %s %q", d.Reason, d.Error)
				}
				delete(letters, string(d.Original.Key))
			}
			if len(letters) > 0 {
				t.Errorf("no dead letter for %v", letters)
			}
		})
	})
}

func TestRegistryAwayHoldsOnlyWhatNeedsIt(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		w.withRegistry(func(r *schemaRegistry) {
			r.SeedSchema("old", 1, 1, sr.Schema{Schema: avroDecision})
			r.SeedSchema("new", 1, 2, sr.Schema{Schema: avroDecision + " "})
			topic := w.cfg.Kafka.Topics.Decisions
			results := w.cfg.Kafka.Topics.Results
			m := w.start()
			held := task(1, 1) // its partition waits, the others do not
			var elsewhere decision.Task
			for i := 2; partitionOf(elsewhere) == partitionOf(held) || elsewhere == (decision.Task{}); i++ {
				elsewhere = task(i, i)
			}
			w.send(inAvro(t, topic, 1, elsewhere))
			w.awaitAll(time.Minute)

			r.away.Store(true)
			w.send(inAvro(t, topic, 2, held))
			w.await(time.Minute, "the pause shows", func() bool { return m.paused(decision.PausedKafka) })
			w.send(inAvro(t, topic, 1, elsewhere))
			w.await(10*time.Second, "the decision with a known schema is settled", func() bool { return w.count(results) == 2 })
			time.Sleep(10 * time.Minute)
			if w.count(results) != 2 || w.count(w.cfg.Kafka.Topics.DeadLetters) != 0 || !m.paused(decision.PausedKafka) {
				t.Errorf("results %d, dead letters %d, paused %v", w.count(results), w.count(w.cfg.Kafka.Topics.DeadLetters), m.paused(decision.PausedKafka))
			}

			before := time.Now()
			m.stop()
			if took := time.Since(before); took > 5*time.Second {
				t.Errorf("the stop took %s", took)
			}
			m = w.start()
			w.await(time.Minute, "the pause shows again", func() bool { return m.paused(decision.PausedKafka) })
			r.away.Store(false)
			w.awaitAll(time.Minute)
			w.await(time.Minute, "the pause is over", func() bool { return !m.paused(decision.PausedKafka) })
			m.stop()
			w.checkSettledOnce()
			w.checkCommitted()
			if n := len(w.completions()); n != 3 {
				t.Errorf("%d calls for 3 decisions", n)
			}
		})
	})
}
