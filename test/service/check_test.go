package service_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/sr"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker/embedded"
	"verdict/internal/check"
	"verdict/internal/passfort/sandbox"
)

// look makes every check in the world.
func (w *world) look(change ...func(*configs.Config)) map[string]check.Finding {
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
			w.t.Errorf("%+v: says nothing about what to do", f)
		}
		byName[f.Name] = f
	}
	return byName
}

func wantFinding(t *testing.T, all map[string]check.Finding, status check.Status, name, detail string) {
	t.Helper()
	if f := all[name]; f.Status != status || !strings.Contains(f.Detail, detail) {
		t.Errorf("%s: %+v, want %s and %q", name, f, status, detail)
	}
}

func TestCheckSeesMembersThatDoNotGoTogether(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		one := w.start()
		w.await(time.Minute, "the first has joined", func() bool { return one.metric("verdict_partitions_assigned") == 2*partitions })
		all := w.look()
		wantFinding(t, all, check.OK, "group", "verdict is Stable, with 1 member")
		wantFinding(t, all, check.OK, "group/members", "all have this version and rate limit")

		two := w.start(func(c *configs.Config) { c.API.RateLimit = 7 })
		w.await(time.Minute, "both have joined", func() bool { return two.metric("verdict_partitions_assigned") == partitions })
		wantFinding(t, w.look(), check.Warn, "group/members", "1 of 2 has api.rate_limit 7")
		wantFinding(t, w.look(func(c *configs.Config) { c.API.RateLimitScope = configs.ScopeInstance }), check.Warn, "group/members", `2 of 2 has api.rate_limit_scope "group"`)
		wantFinding(t, w.look(func(c *configs.Config) { c.Kafka.Topics.Backfill = "" }), check.Warn, "group/members", "2 of 2 reads task-decisions, task-decisions-backfill")
		one.stop()
		two.stop()
	})
}

func TestCheckSeesAGroupOfAnotherProgram(t *testing.T) {
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
		wantFinding(t, w.look(), check.Fail, "group", `verdict belongs to another program (protocol "consumer" "range")`)
	})
}

func TestMembersInfoOfOthersIsTolerated(t *testing.T) {
	for data, want := range map[string]bool{
		"": false, "\x00\x01": false, "{}": false, "[]": false, `"x"`: false, `{"version":7}`: false,
		`{"version":"2","rate_limit":9,"more":[1]}`: true,
	} {
		if _, ok := app.ReadMember([]byte(data)); ok != want {
			t.Errorf("%q: %v", data, ok)
		}
	}
	if m, ok := app.ReadMember(app.AboutMember(configs.Default())); !ok || m != app.MemberOf(configs.Default()) {
		t.Errorf("our own: %+v, %v", m, ok)
	}
}

func TestCheckComparesTheBacklogWithItsRetention(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		live := w.cfg.Kafka.Topics.Decisions
		w.send(passes(live, 40)...)
		slow := func(rate float64) func(*configs.Config) { return func(c *configs.Config) { c.API.RateLimit = rate } }
		wantFinding(t, w.look(), check.OK, "backlog/"+live, "40 decisions to be carried out")
		wantFinding(t, w.look(slow(4)), check.OK, "backlog/"+live, "which take 10s at 4 calls a second")
		wantFinding(t, w.look(slow(0.0001)), check.Warn, "backlog/"+live, "40 decisions to be carried out, which take 111h6m40s at 0.0001 calls a second, and are kept for 7d")
		wantFinding(t, w.look(slow(1e-300)), check.Warn, "backlog/"+live, "which take 36500d")
		m := w.start()
		w.awaitAll(time.Minute)
		m.stop()
		wantFinding(t, w.look(), check.OK, "backlog/"+live, "0 decisions to be carried out")
	})
}

func TestCheckComparesClocks(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		live := w.cfg.Kafka.Topics.Decisions
		w.send(passes(live, 4)...)
		all := w.look()
		wantFinding(t, all, check.OK, "clock/kafka", "no record is from the future")
		wantFinding(t, all, check.OK, "clock/api", "within 5s")
		answer, err := w.client.Client().Produce(t.Context(), &kafka.ProduceRequest{
			Topic: live, RequiredAcks: kafka.RequireAll,
			Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte("{}")), Time: time.Now().Add(3 * time.Minute)}),
		})
		if err != nil || answer.Error != nil {
			t.Fatal(err, answer.Error)
		}
		wantFinding(t, w.look(), check.Warn, "clock/kafka", "a record in task-decisions/0 at offset")
	})
}

func TestCheckWaitsForNobodyForever(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		w.setFaults(func(sandbox.Call) sandbox.Fault { return sandbox.Fault{Do: sandbox.Hang} })
		silent, err := w.network.Listen("tcp", "localhost:0") // accepts nobody
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		began := time.Now()
		all := w.look(func(c *configs.Config) { c.Kafka.Brokers = append(c.Kafka.Brokers, silent.Addr().String()) })
		wantFinding(t, all, check.Fail, "broker/"+silent.Addr().String(), "no answer in time")
		wantFinding(t, all, check.Fail, "api/key", "timeout")
		wantFinding(t, all, check.OK, "rights/group", "allowed")
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// Rights, with all else in order: each that is missing is one failure.
func TestCheckSeesEachRightThatIsMissing(t *testing.T) {
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
				// A right that is nobody's, so that there is one.
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
				for name, f := range w.look() {
					if f.Status == check.Fail && name != "api/key" {
						failed[name] = true
					}
				}
				want := [][]string{
					{"rights/read/" + topics.Decisions, "topic/" + topics.Decisions}, {"rights/read/" + topics.Backfill, "topic/" + topics.Backfill},
					{"rights/write/" + topics.Results, "topic/" + topics.Results}, {"rights/write/" + topics.DeadLetters, "topic/" + topics.DeadLetters},
					{"group"}, // the embedded Kafka asks for more rights only once the group exists
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

func TestCheckAsksTheSchemaRegistry(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		if f, there := w.look()["registry"]; there {
			t.Errorf("without a registry: %+v", f)
		}
		w.withRegistry(func(r *schemaRegistry) {
			wantFinding(t, w.look(), check.OK, "registry", "answered in ")
			r.SeedSchema("one", 1, 1, sr.Schema{Schema: avroDecision})
			wantFinding(t, w.look(), check.OK, "registry", "answered in ")
			r.away.Store(true)
			wantFinding(t, w.look(), check.Fail, "registry", "it answered 503 Service Unavailable")
			r.away.Store(false)
			at := w.cfg.Decode.RegistryURL.Reveal()
			elsewhere := func(url string) func(*configs.Config) {
				return func(cfg *configs.Config) { cfg.Decode.RegistryURL = configs.NewSecret(url) }
			}
			wantFinding(t, w.look(elsewhere(at+"/nowhere")), check.Fail, "registry", "it answered 404 Not Found")
			wantFinding(t, w.look(elsewhere("http://me:hunter2@localhost:1")), check.Fail, "registry", "localhost:1")
			for _, f := range w.look(elsewhere("http://me:hunter2@localhost:1")) {
				if strings.Contains(f.Detail+f.Hint, "hunter2") {
					t.Errorf("the password is told: %+v", f)
				}
			}
		})
	})
}
