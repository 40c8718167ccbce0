package integration

import (
	"bytes"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"verdict/internal/decision"
)

// realRegistry is a real Schema Registry that test/registry/registry.sh started, behind a
// proxy.
type realRegistry struct {
	*scene
	direct, url string // URL for the producer; URL for the service, through the proxy
	proxy       *proxy
}

// newRealRegistry returns a scene with the registry that VERDICT_TEST_REGISTRY names, or
// skips the test.
func newRealRegistry(t *testing.T) *realRegistry {
	t.Helper()
	direct := os.Getenv("VERDICT_TEST_REGISTRY")
	if direct == "" {
		t.Skip("needs a real Schema Registry: make test-registry")
	}
	through, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	p, err := newProxy("127.0.0.1:0", through.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	through.Host = p.addr()
	return &realRegistry{scene: newScene(t, sceneOptions{api: fastAPI}), direct: direct, url: through.String(), proxy: p}
}

// produce sends a decision with each of Confluent's serializers that it is given (see
// produce.py), for tasks from a number on.
func (r *realRegistry) produce(from int, serializers ...string) (places []decision.Position) {
	r.t.Helper()
	var in bytes.Buffer
	out := json.NewEncoder(&in)
	decisions := r.passing(r.topics.decisions, from, len(serializers))
	for i, d := range decisions {
		if err := out.Encode(map[string]any{"as": serializers[i], "profile_id": d.task.ProfileID, "task_id": d.task.TaskID, "state": d.state}); err != nil {
			r.t.Fatal(err)
		}
	}
	producer := exec.CommandContext(r.ctx(), "../registry/target/python/bin/python", "../registry/produce.py", strings.Join(r.brokers, ","), r.topics.decisions, r.direct)
	producer.Stdin, producer.Stderr = &in, os.Stderr
	offsets, err := producer.Output()
	if err != nil {
		r.t.Fatalf("produce.py: %v", err)
	}
	lines := json.NewDecoder(bytes.NewReader(offsets))
	for _, d := range decisions {
		at := decision.Position{Topic: d.topic}
		if err := lines.Decode(&at); err != nil {
			r.t.Fatalf("produce.py printed %q: %v", offsets, err)
		}
		r.sent[at] = sent{d.task, d.state}
		places = append(places, at)
	}
	return places
}

// deadLetters returns the error of each dead letter by the place of its record.
func (r *realRegistry) deadLetters() map[decision.Position]string {
	r.t.Helper()
	all := make(map[decision.Position]string)
	for _, rec := range r.read(r.topics.deadLetters) {
		d, err := decision.ParseDeadLetter(&rec)
		if err != nil {
			r.t.Fatal(err)
		}
		all[d.Original.Origin()] = string(d.Reason) + ": " + d.Error
	}
	return all
}

// TestRegistryRealReadsWhatConfluentsSerializersWrite has decisions of each serializer with
// references between schemas, and two whose schema the registry does not know.
func TestRegistryRealReadsWhatConfluentsSerializersWrite(t *testing.T) {
	r := newRealRegistry(t)
	guid := r.produce(0, append(slices.Repeat([]string{"avro", "json", "protobuf"}, 20), "avro, guid")...)[60]
	r.send(outgoing{topic: r.topics.decisions, task: task(1001, 1001), state: decision.CompletedPass, value: "\x00\x7f\xff\xff\xffx"})
	p := r.start("verdict", "VERDICT_DECODE_REGISTRY_URL="+r.url)
	r.awaitAll()
	p.stop()
	r.checkSettledOnce()
	r.checkCalledOnce()
	if n := r.count(r.topics.results); n != 60 {
		t.Errorf("%d results of 60 decisions", n)
	}
	letters := r.deadLetters()
	for at, text := range letters {
		want := "invalid_event: value: schema ID 2147483647 is not known to the Schema Registry"
		if at == guid {
			want = "invalid_event: value: schema GUID "
		}
		if !strings.HasPrefix(text, want) {
			t.Errorf("%v: %s\nwant %s", at, text, want)
		}
	}
	if len(letters) != 2 {
		t.Errorf("%d dead letters of 2 decisions with an unknown schema: %v", len(letters), letters)
	}
}

// TestRegistryRealAwayIsWaitedOut has a registry that is away when its first schema is
// needed, and again when another one is: what needs neither goes on.
func TestRegistryRealAwayIsWaitedOut(t *testing.T) {
	r := newRealRegistry(t)
	waits := func(p *process) func() bool {
		return func() bool { return p.metric("verdict_paused", `cause="kafka"`) == 1 }
	}
	r.proxy.reset(true)
	r.produce(0, slices.Repeat([]string{"avro"}, 20)...)
	p := r.start("verdict", "VERDICT_DECODE_REGISTRY_URL="+r.url)
	await(t, "the service waits for the registry", waits(p))
	r.proxy.restore()
	r.awaitAll()
	await(t, "the service waits no more", func() bool { return p.metric("verdict_paused") == 0 })

	r.proxy.reset(true)
	held := r.produce(100, "another avro")[0]
	await(t, "the service waits for the other schema", waits(p))
	r.produce(200, slices.Repeat([]string{"avro"}, 20)...)
	others := 0
	for at := range r.sent {
		if at.Partition != held.Partition {
			others++
		}
	}
	await(t, "the other partitions go on", func() bool { return r.count(r.topics.results) >= others })
	if n := r.count(r.topics.deadLetters); n != 0 {
		t.Errorf("%d dead letters while the registry was away", n)
	}
	r.proxy.restore()
	r.awaitAll()
	p.stop()
	r.checkSettledOnce()
	r.checkCalledOnce()
	if n := r.count(r.topics.results); n != 41 {
		t.Errorf("%d results of 41 decisions", n)
	}
}
