package service_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl/plain"

	"verdict/configs"
	"verdict/internal/cli"
)

// TestRunShowsNoSecret has `run` meet every fault of the API and of Kafka.
func TestRunShowsNoSecret(t *testing.T) {
	t.Parallel()
	s := newLeakTest(t)
	topics := configs.Default().Kafka.Topics
	dialer := s.dialer()
	conn, err := dialer.DialLeader(t.Context(), "tcp", s.cluster.Addrs()[0], topics.Decisions, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	messages := []kafka.Message{{Value: []byte("not JSON")}, {Value: nil}}
	for i := range 10 {
		messages = append(messages, kafka.Message{Value: []byte(value(task(i, i), "COMPLETED_PASS"))})
		for j := range 10 { // good ones in between, so that there is no outage
			it := task(i, 0x1000*(i+1)+0x10*j)
			messages = append(messages, kafka.Message{Value: []byte(value(it, "COMPLETED_PASS"))})
		}
	}
	if _, err := conn.WriteMessages(messages...); err != nil {
		t.Fatal(err)
	}

	s.whileRunning("a run that meets every fault of the API", nil, func(log func() string) {
		busy := 0
		s.await("every bad decision is dead-lettered", func() bool {
			// Beside good ones: else the API may not work.
			it := task(0x9000, 0x900000+0x10*busy)
			if _, err := conn.WriteMessages(kafka.Message{Value: []byte(value(it, "COMPLETED_PASS"))}); err != nil {
				t.Fatal(err)
			}
			busy++
			return s.cluster.HighWatermark(topics.DeadLetters, 0) >= 11
		})
		s.scrape(log())
	})
	letters, err := readTopic(t.Context(), s.cluster, dialer, topics.DeadLetters)
	if err != nil || len(letters) < 11 {
		t.Fatalf("%d dead letters, %v", len(letters), err)
	}
	for _, d := range letters {
		s.record(deadLetters, fmt.Sprintf("%s %s %s\n", d.Key, d.Value, d.Headers))
	}
	// The API's answers did reach the dead letters.
	if text := s.out[deadLetters]; !strings.Contains(text, "[redacted] may not") || strings.Count(text, markedPerson) < 6 {
		t.Errorf("the dead letters do not have the API's answers: %s", text)
	}

	s.whileRunning("a run with a refused key", map[string]string{"VERDICT_API_KEY": markedWrong}, func(log func() string) {
		if _, err := conn.WriteMessages(kafka.Message{Value: []byte(value(task(10, 10), "COMPLETED_PASS"))}); err != nil {
			t.Fatal(err)
		}
		s.await("the service is paused", func() bool { return strings.Contains(log(), "auth") })
		s.scrape(log())
	})
	s.whileRunning("a run with a wrong password", map[string]string{"VERDICT_KAFKA_SASL_PASSWORD": markedWrong}, func(log func() string) {
		s.await("Kafka fails", func() bool {
			return strings.Contains(log(), `"level":"WARN"`) || strings.Contains(log(), `"level":"ERROR"`)
		})
		s.scrape(log())
	})
	s.whileRunning("a run without its certificate", map[string]string{"VERDICT_KAFKA_TLS_CERT_FILE": "", "VERDICT_KAFKA_TLS_KEY_FILE": ""}, func(log func() string) {
		s.await("Kafka fails", func() bool {
			return strings.Contains(log(), `"level":"WARN"`) || strings.Contains(log(), `"level":"ERROR"`)
		})
	})
	s.checkNoLeak()
}

// TestCommandsShowNoSecret runs every command with right, wrong and misplaced secrets.
func TestCommandsShowNoSecret(t *testing.T) {
	t.Parallel()
	s := newLeakTest(t)
	rows := s.file("rows.csv", "profile_id,task_id,state\n00000001-aaaa-bbbb-cccc-000000000001,00000001-dddd-eeee-ffff-000000000001,COMPLETED_PASS\n")
	// The arguments of each command.
	args := map[string][]string{
		"check": nil, "run": nil, "topics": nil, "decide": nil, "redrive": nil, "version": nil,
		"submit": {rows}, "follow": {"batch"}, "explain": {"00000001-dddd-eeee-ffff-000000000001"},
		"verify": {"batch"}, "prove": {"batch", "--unsigned"}, "approve": {"batch"}, "dismiss": {"--why", "x"},
		"hold": {"batch", "--yes"}, "resume": {"batch"}, "cancel": {"batch", "--why", "x"}, "rate": {"1", "--why", "x"},
		"status": nil, "batches": nil, "audit": nil, "key": {"new", "--out", filepath.Join(t.TempDir(), "key")},
		"demo": nil, "sandbox": nil, "help": nil, "completion": nil,
	}
	wrong := map[string]string{
		"VERDICT_API_KEY": markedWrong, "VERDICT_KAFKA_SASL_PASSWORD": markedWrong,
	}
	faulty := s.file("faulty.yaml", "api:\n  key: ["+markedKey+"]\n  keyy: "+markedKey+"\nkafka:\n  sasl:\n    password:\n      "+markedPassword+": x\n")
	for _, name := range commandNames(t) {
		if _, known := args[name]; !known {
			t.Errorf("this test does not know the command %s", name)
		}
	}
	cases := map[string]struct {
		environ map[string]string
		flags   []string
	}{
		"help":                   {nil, []string{"--help"}},
		"unknown flag":           {nil, []string{"--api-keyy=x"}},
		"right secrets":          {nil, nil},
		"right secrets, JSON":    {nil, []string{"--json"}},
		"wrong secrets":          {wrong, nil},
		"secrets as flags":       {nil, []string{"--api-key", markedWrong, "--kafka-sasl-password", markedWrong}},
		"secrets twice":          {map[string]string{"VERDICT_API_KEY_FILE": "x", "VERDICT_KAFKA_SASL_PASSWORD_FILE": "x"}, nil},
		"a broken key":           {map[string]string{"VERDICT_API_KEY": markedKey + "\n" + markedKey}, nil},
		"a key in another place": {map[string]string{"VERDICT_API_BASE_URL": "https://" + markedKey + "@host/4.0", "VERDICT_API_KEYY": markedKey}, nil},
		"a password in brokers":  {map[string]string{"VERDICT_KAFKA_BROKERS": "verdict:" + markedPassword + "@kafka"}, nil},
		"a faulty file":          {nil, []string{"--config", faulty}},
	}
	var commands sync.WaitGroup
	for name, own := range args {
		commands.Go(func() {
			for what, c := range cases { // one at a time: submits of a file exclude each other
				// Long enough for a command that ends by itself; this ends the others.
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				var log bytes.Buffer
				s.command(ctx, &log, c.environ, slices.Concat([]string{name}, own, c.flags)...)
				cancel()
				s.record(fmt.Sprintf("standard error of %s with %s", name, what), log.String())
			}
		})
	}
	commands.Wait()
	s.checkNoLeak()
}

// commandNames returns the commands of `verdict`, as shell completion lists them.
func commandNames(t *testing.T) []string {
	t.Helper()
	var out bytes.Buffer
	if status := cli.Execute(t.Context(), []string{"__complete", ""}, cli.Process{In: strings.NewReader(""), Out: &out, Err: io.Discard}); status != cli.ExitDone {
		t.Fatalf("__complete: exit status %d", status)
	}
	var names []string
	for line := range strings.Lines(out.String()) {
		if name, _, isCommand := strings.Cut(line, "\t"); isCommand {
			names = append(names, name)
		}
	}
	if len(names) < 10 {
		t.Fatalf("only %d commands: %q", len(names), out.String())
	}
	return names
}

func TestCheckNoLeakFindsEachForm(t *testing.T) {
	for name, text := range map[string]string{
		"plain":  markedKey,
		"SASL":   base64.StdEncoding.EncodeToString(sasl(t, markedPassword)),
		"hex":    hex.EncodeToString([]byte(markedWrong)),
		"struct": fmt.Sprintf("%+v", plain.Mechanism{Username: "u", Password: markedPassword}),
	} {
		probe := &testing.T{}
		s := &leakTest{t: probe, out: map[string]string{"x": "before " + text + " after"}}
		s.checkNoLeak()
		if !probe.Failed() {
			t.Errorf("%s: not found", name)
		}
	}
}

func sasl(t *testing.T, password string) []byte {
	_, first, err := plain.Mechanism{Username: "u", Password: password}.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return first
}
