package service_test

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker/embedded"
	"verdict/internal/cli"
	"verdict/internal/decision"
)

// TestCommandsReadTheFormatsOfTheService has a decision in the format of a Schema Registry.
// The commands that look for it find it, or say that they can't read it and fail.
func TestCommandsReadTheFormatsOfTheService(t *testing.T) {
	topics := configs.Default().Kafka.Topics
	all := make(map[string]int)
	for _, name := range app.TopicNames(topics) {
		all[name] = 1
	}
	kafka, err := embedded.Start(embedded.Options{Topics: all})
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	producer, err := kgo.NewClient(kgo.SeedBrokers(kafka.Addrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	framed := append(binary.BigEndian.AppendUint32([]byte{0}, 7), value(task(1, 1), decision.CompletedPass, `"id":"d-1"`, `"batch_id":"b"`)...)
	letter := []kgo.RecordHeader{
		{Key: decision.HeaderReason, Value: []byte("rejected")}, {Key: decision.HeaderTopic, Value: []byte(topics.Decisions)},
		{Key: decision.HeaderPartition, Value: []byte("0")}, {Key: decision.HeaderOffset, Value: []byte("0")},
	}
	for _, rec := range []*kgo.Record{{Topic: topics.Decisions, Value: framed}, {Topic: topics.DeadLetters, Value: framed, Headers: letter}} {
		if err := producer.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/schemas/ids/7" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
		_, _ = w.Write([]byte(`{"schemaType":"JSON","schema":"{\"type\":\"object\"}"}`))
	}))
	defer registry.Close()
	for name, c := range map[string]struct {
		args  []string
		finds string
	}{
		"explain": {[]string{"explain", "d-1"}, "dead_lettered"},
		"follow":  {[]string{"follow", "b", "--once"}, "dead_lettered=1"},
		"redrive": {[]string{"redrive", "--batch-id", "b", "--dry-run"}, "chosen=1"},
	} {
		t.Run(name, func(t *testing.T) {
			run := func(environ ...string) (status int, out, errs string) {
				var stdout, stderr bytes.Buffer
				environ = append(environ, "VERDICT_KAFKA_BROKERS="+strings.Join(kafka.Addrs(), ","))
				status = cli.Execute(t.Context(), c.args, cli.Process{In: strings.NewReader(""), Out: &stdout, Err: &stderr, Environ: environ})
				return status, stdout.String(), stderr.String()
			}
			if _, out, errs := run("VERDICT_DECODE_REGISTRY_URL=" + registry.URL); !strings.Contains(out, c.finds) || strings.Contains(errs, "could not be read") {
				t.Errorf("with the registry: %s\n%s", out, errs)
			}
			status, out, errs := run()
			if status == 0 || strings.Contains(out, c.finds) || !strings.Contains(errs, "could not be read") || !strings.Contains(errs, "decode.registry_url is not set") {
				t.Errorf("without it: status %d, %s\n%s", status, out, errs)
			}
		})
	}
}
