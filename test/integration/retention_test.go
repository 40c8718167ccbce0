package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"

	"verdict/internal/broker"
	"verdict/internal/passfort/sandbox"
	"verdict/test/fixture"
)

// bounds returns the bounds of each partition of the decisions.
func (s *scene) bounds() map[int]broker.Bound {
	s.t.Helper()
	bounds, err := s.conn.Bounds(s.ctx(), s.topics.decisions)
	if err != nil {
		s.t.Fatal(err)
	}
	return bounds
}

// retain sets retention.ms of the decisions.
func (s *scene) retain(ms string) {
	s.t.Helper()
	answer, err := s.conn.Client().IncrementalAlterConfigs(s.ctx(), &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{{
			ResourceType: kafka.ResourceTypeTopic, ResourceName: s.topics.decisions,
			Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: "retention.ms", Value: ms, ConfigOperation: kafka.ConfigOperationSet}},
		}},
	})
	if err == nil {
		err = answer.Resources[0].Error
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// TestRetentionDeletesUnreadDecisions has a real broker delete decisions while the service
// runs and the API is down: those before an offset, or all of them with their segments.
// What was not read before is counted as lost, and the service goes on.
func TestRetentionDeletesUnreadDecisions(t *testing.T) {
	t.Parallel()
	const sent, left = 2000, 10 // in all, and in each partition
	for name, remove := range map[string]func(s *scene){
		"DeleteRecords": func(s *scene) {
			for p, b := range s.bounds() {
				fixture.DeleteRecords(s.t, s, nil, s.topics.decisions, p, b.End-left)
			}
		},
		"retention.ms": func(s *scene) {
			s.retain("1")
			await(s.t, "every segment is deleted", func() bool {
				for _, b := range s.bounds() {
					if b.First < b.End {
						return false
					}
				}
				return true
			})
			s.retain("3600000")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, sceneOptions{api: fastAPI})
			if s.cluster != nil {
				t.Skip("needs a real Kafka: make test-kafka")
			}
			s.setFaults(func(sandbox.Call) sandbox.Fault {
				return sandbox.Fault{Do: sandbox.Answer, Status: http.StatusServiceUnavailable}
			})
			records := s.passing(s.topics.decisions, 0, sent)
			for i := range records { // so large that they can't all be read ahead
				r := &records[i]
				r.value = fmt.Sprintf(`{"profile_id":%q,"task_id":%q,"state":%q,"reason":%q}`, r.task.ProfileID, r.task.TaskID, r.state, strings.Repeat("r", 1000))
			}
			for batch := range slices.Chunk(records, 200) {
				s.send(batch...)
			}
			p := s.start("verdict", "VERDICT_PROCESSOR_MAX_PENDING=10", "VERDICT_PROCESSOR_MAX_PENDING_BYTES=256KiB")
			await(t, "the service is paused", func() bool { return p.metric("verdict_paused", `cause="outage"`) == 1 })
			remove(s)
			s.setFaults(nil)
			s.awaitAll()
			lost, done := int(p.metric("verdict_records_lost_total")), s.count(s.topics.results)
			t.Logf("%d decisions were lost, %d done", lost, done)
			if lost+done != sent || lost < sent/2 || name == "DeleteRecords" && done < left*partitions {
				t.Errorf("%d decisions are counted as lost and %d done, of %d", lost, done, sent)
			}
			await(t, "there is no lag", func() bool { return p.metric("verdict_consumer_lag") == 0 && p.metric("verdict_backlog") == 0 })
			s.send(s.passing(s.topics.decisions, sent, 100)...)
			s.awaitAll()
			p.stop()
			if n := s.count(s.topics.results); n != done+100 {
				t.Errorf("%d of 100 decisions that came later are done", n-done)
			}
		})
	}
}
