package service_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sr"

	"verdict/configs"
	"verdict/internal/broker/embedded"
	"verdict/internal/check"
	"verdict/internal/passfort/sandbox"
)

// runCheck makes every check, and returns the findings by name.
func (w *world) runCheck(change ...func(*configs.Config)) map[string]check.Finding {
	w.t.Helper()
	cfg := w.cfg
	for _, c := range change {
		c(&cfg)
	}
	found, faults := check.Run(w.t.Context(), cfg, nil, check.Options{
		Timeout: 10 * time.Second, DialKafka: w.network.DialContext, DialAPI: w.network.DialContext, DialSchemas: w.network.DialContext,
	})
	if len(faults) > 0 {
		w.t.Error(faults)
	}
	byName := make(map[string]check.Finding)
	for _, f := range found {
		if f.Status == check.Fail && f.Hint == "" {
			w.t.Errorf("%+v: no hint", f)
		}
		byName[f.Name] = f
	}
	return byName
}

// wantFinding checks a finding's status and a part of its detail.
func wantFinding(t *testing.T, all map[string]check.Finding, status check.Status, name, detail string) {
	t.Helper()
	if f := all[name]; f.Status != status || !strings.Contains(f.Detail, detail) {
		t.Errorf("%s: %+v, want %s and %q", name, f, status, detail)
	}
}

func TestCheckWarnsOfMembersThatDiffer(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		one := w.start()
		one.awaitJoined()
		all := w.runCheck()
		wantFinding(t, all, check.OK, "group", "verdict is Stable, with 1 member")
		wantFinding(t, all, check.OK, "group/members", "all have this version and rate limit")

		two := w.start(func(c *configs.Config) { c.API.RateLimit = 7 })
		w.await(time.Minute, "both own partitions", func() bool { return two.metric("verdict_partitions_assigned") == partitions })
		wantFinding(t, w.runCheck(), check.Warn, "group/members", "1 of 2 has api.rate_limit 7")
		wantFinding(t, w.runCheck(func(c *configs.Config) { c.API.RateLimitScope = configs.ScopeInstance }), check.Warn, "group/members", `2 of 2 has api.rate_limit_scope "group"`)
		wantFinding(t, w.runCheck(func(c *configs.Config) { c.Kafka.Topics.Backfill = "" }), check.Warn, "group/members", "2 of 2 reads task-decisions, task-decisions-backfill")
		one.stop()
		two.stop()
	})
}

func TestCheckFailsForAGroupOfAnotherProgram(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
			ID: w.cfg.Kafka.GroupID, Brokers: w.kafka.Addrs(), Dialer: w.client.Dialer(), Topics: []string{w.cfg.Kafka.Topics.Decisions},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer group.Close()
		if _, err := group.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantFinding(t, w.runCheck(), check.Fail, "group", `verdict belongs to another program (protocol "consumer" "range")`)
	})
}

func TestCheckComparesTheBacklogWithItsRetention(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		live := w.cfg.Kafka.Topics.Decisions
		w.send(passes(live, 40)...)
		slow := func(rate float64) func(*configs.Config) { return func(c *configs.Config) { c.API.RateLimit = rate } }
		wantFinding(t, w.runCheck(), check.OK, "backlog/"+live, "40 decisions to be carried out")
		wantFinding(t, w.runCheck(slow(4)), check.OK, "backlog/"+live, "which take 10s at 4 calls a second")
		wantFinding(t, w.runCheck(slow(0.0001)), check.Warn, "backlog/"+live, "40 decisions to be carried out, which take 111h6m40s at 0.0001 calls a second, and are kept for 7d")
		wantFinding(t, w.runCheck(slow(1e-300)), check.Warn, "backlog/"+live, "which take 36500d")
		m := w.start()
		w.awaitAll(time.Minute)
		m.stop()
		wantFinding(t, w.runCheck(), check.OK, "backlog/"+live, "0 decisions to be carried out")
	})
}

func TestCheckComparesClocks(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		live := w.cfg.Kafka.Topics.Decisions
		w.send(passes(live, 4)...)
		all := w.runCheck()
		wantFinding(t, all, check.OK, "clock/kafka", "no record is from the future")
		wantFinding(t, all, check.OK, "clock/api", "within 5s")
		if _, err := produce(t.Context(), w.client, place{topic: live}, kafka.Record{
			Value: kafka.NewBytes([]byte("{}")), Time: time.Now().Add(3 * time.Minute),
		}); err != nil {
			t.Fatal(err)
		}
		wantFinding(t, w.runCheck(), check.Warn, "clock/kafka", "a record in task-decisions/0 at offset")
	})
}

// A gateway may refuse a call as the API does.
func TestCheckTellsAGatewayFromTheAPI(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		for body, hint := range map[string]string{"": "correct api.key", "<html>Sign in</html>": "a gateway or proxy in front of it may have refused the call"} {
			w.setFaults(func(sandbox.Call) sandbox.Fault {
				if body == "" {
					return sandbox.Refusal(401)
				}
				return answer(401, body)
			})
			if f := w.runCheck()["api/key"]; f.Status != check.Fail || !strings.Contains(f.Hint, hint) || body == "" && strings.Contains(f.Hint, "gateway") {
				t.Errorf("%q: %+v, want the hint %q", body, f, hint)
			}
		}
	})
}

func TestCheckEndsWhenNothingAnswers(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		w.setFaults(func(sandbox.Call) sandbox.Fault { return sandbox.Fault{Do: sandbox.Hang} })
		silent, err := w.network.Listen("tcp", "localhost:0") // accepts no connection
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		began := time.Now()
		all := w.runCheck(func(c *configs.Config) { c.Kafka.Brokers = append(c.Kafka.Brokers, silent.Addr().String()) })
		wantFinding(t, all, check.Fail, "broker/"+silent.Addr().String(), "no answer in time")
		wantFinding(t, all, check.Fail, "api/key", "timeout")
		wantFinding(t, all, check.OK, "rights/group", "allowed")
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestCheckFailsForEachMissingRight(t *testing.T) {
	topics := configs.Default().Kafka.Topics
	enough := []embedded.Permission{
		{Resource: "topic", Name: topics.Decisions, Operation: "read"},
		{Resource: "topic", Name: topics.Backfill, Operation: "read"},
		{Resource: "topic", Name: topics.Results, Operation: "write"},
		{Resource: "topic", Name: topics.DeadLetters, Operation: "write"},
		{Resource: "group", Name: "verdict", Operation: "read"},
	}
	for missing := range len(enough) + 1 {
		name := "none"
		if missing < len(enough) {
			name = fmt.Sprint(enough[missing])
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// And a right that `run` does not need.
				may := []embedded.Permission{{Resource: "topic", Name: "another", Operation: "read"}}
				for i, p := range enough {
					if i != missing {
						may = append(may, p)
					}
				}
				w := &world{t: t, network: &embedded.Network{}, cfg: configs.Default()}
				var err error
				w.kafka, err = embedded.Start(embedded.Options{
					Listen: w.network.Listen,
					Topics: map[string]int{topics.Decisions: 1, topics.Backfill: 1, topics.Results: 1, topics.DeadLetters: 1},
					Users:  []embedded.User{{Mechanism: "SCRAM-SHA-256", Name: "verdict", Password: "p", Permissions: may}},
				})
				if err != nil {
					t.Fatal(err)
				}
				defer w.kafka.Close()
				w.cfg.Kafka.Brokers = w.kafka.Addrs()
				w.cfg.Kafka.SASL = configs.SASL{Mechanism: configs.SASLScramSHA256, Username: "verdict", Password: configs.NewSecret("p")}
				failed := make(map[string]bool)
				for name, f := range w.runCheck() {
					if f.Status == check.Fail && name != "api/key" {
						failed[name] = true
					}
				}
				want := [][]string{ // by the missing right
					{"rights/read/" + topics.Decisions, "topic/" + topics.Decisions}, {"rights/read/" + topics.Backfill, "topic/" + topics.Backfill},
					{"rights/write/" + topics.Results, "topic/" + topics.Results}, {"rights/write/" + topics.DeadLetters, "topic/" + topics.DeadLetters},
					{"group"}, // the other rights are only checked once the group exists
					nil,
				}[missing]
				if len(failed) != len(want) {
					t.Errorf("failed %v, want %v", failed, want)
				}
				for _, name := range want {
					if !failed[name] {
						t.Errorf("failed %v, want %v", failed, want)
					}
				}
			})
		})
	}
}

// TestCheckKnowsAGroupOfTheNewProtocol has a group that the classic request can't
// describe. Kafka answers that it is dead, as for one that does not exist.
func TestCheckKnowsAGroupOfTheNewProtocol(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		wantFinding(t, w.runCheck(), check.OK, "group", "does not exist yet")
		w.kafka.Kfake().ControlKey(int16(kmsg.ListGroups), func(req kmsg.Request) (kmsg.Response, error, bool) {
			w.kafka.Kfake().KeepControl()
			res := req.ResponseKind().(*kmsg.ListGroupsResponse)
			res.Groups = []kmsg.ListGroupsResponseGroup{{Group: w.cfg.Kafka.GroupID, ProtocolType: "consumer"}}
			return res, nil, true
		})
		wantFinding(t, w.runCheck(), check.Fail, "group", "belongs to another program")
	})
}

func TestCheckAsksTheSchemaRegistry(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		if f, there := w.runCheck()["registry"]; there {
			t.Errorf("without a registry: %+v", f)
		}
		w.withRegistry(func(r *schemaRegistry) {
			wantFinding(t, w.runCheck(), check.OK, "registry", "answered in ")
			r.SeedSchema("one", 1, 1, sr.Schema{Schema: avroDecision})
			wantFinding(t, w.runCheck(), check.OK, "registry", "answered in ")
			r.away.Store(true)
			wantFinding(t, w.runCheck(), check.Fail, "registry", "it answered 503 Service Unavailable")
			r.away.Store(false)
			at := w.cfg.Decode.RegistryURL.Reveal()
			elsewhere := func(url string) func(*configs.Config) {
				return func(cfg *configs.Config) { cfg.Decode.RegistryURL = configs.NewSecret(url) }
			}
			wantFinding(t, w.runCheck(elsewhere(at+"/nowhere")), check.Fail, "registry", "it answered 404 Not Found")
			wantFinding(t, w.runCheck(elsewhere("http://me:hunter2@localhost:1")), check.Fail, "registry", "localhost:1")
			for _, f := range w.runCheck(elsewhere("http://me:hunter2@localhost:1")) {
				if strings.Contains(f.Detail+f.Hint, "hunter2") {
					t.Errorf("a finding shows the password: %+v", f)
				}
			}
		})
	})
}
