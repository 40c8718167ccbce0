package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
	"verdict/internal/passfort/sandbox"
)

// TestMain lets the test binary act as verdict, for the scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"verdict": verdictMain})
}

// verdictMain is cmd/verdict's main with plain signal handling.
func verdictMain() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := Execute(ctx, os.Args[1:], Process{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Environ: os.Environ()})
	stop()
	os.Exit(status)
}

// TestScripts runs the scripts of testdata/script. Each has its own embedded Kafka
// and sandbox API, whose addresses are in the environment. Besides testscript's
// commands, scripts have:
//
//	send TOPIC FILE       publish each line as a record with the profile ID as key
//	await TOPIC N         wait until the topic has N records, at most a minute
//	dump TOPIC FILE       write the topic's records as JSON lines, by partition and offset
//	create TOPIC N [K=V]  create a topic with N partitions and settings
//	put TOPIC KEY FILE    publish a file as one record, with $NOW for the time at the start
//
// $CHECKER is the program in docs/evidence.md that checks evidence.
func TestScripts(t *testing.T) {
	checker := documentedChecker(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			topics := make(map[string]int)
			for _, name := range app.TopicNames(configs.Default().Kafka.Topics) {
				topics[name] = 4
			}
			cluster, err := embedded.Start(embedded.Options{Topics: topics})
			if err != nil {
				return err
			}
			env.Defer(cluster.Close)
			box, err := sandbox.New(sandbox.Options{Key: demoKey})
			if err != nil {
				return err
			}
			server := httptest.NewServer(box)
			env.Defer(server.Close)
			brokers := strings.Join(cluster.Addrs(), ",")
			env.Setenv("BROKERS", brokers)
			env.Setenv("VERDICT_KAFKA_BROKERS", brokers)
			env.Setenv("CHECKER", checker)
			env.Setenv("VERDICT_API_BASE_URL", server.URL+"/4.0")
			env.Setenv("VERDICT_API_KEY", demoKey)
			env.Setenv("VERDICT_ADMIN_ADDR", "127.0.0.1:0")
			env.Setenv("SANDBOX", server.URL)
			env.Setenv("NOW", time.Now().UTC().Format(time.RFC3339))
			env.Values[scriptKafka{}] = cluster
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"send": scriptSend, "await": scriptAwait, "dump": scriptDump, "create": scriptCreate,
			"put": scriptPut,
		},
	})
}

// documentedChecker returns the path of the Python program in docs/evidence.md.
func documentedChecker(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/evidence.md")
	if err != nil {
		t.Fatal(err)
	}
	_, program, found := strings.Cut(string(text), "```python\n")
	program, _, ended := strings.Cut(program, "```")
	if !found || !ended {
		t.Fatal("docs/evidence.md has no Python program")
	}
	path := filepath.Join(t.TempDir(), "check.py")
	if err := os.WriteFile(path, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// scriptKafka is the key of the cluster in a script's values.
type scriptKafka struct{}

func scriptCluster(ts *testscript.TestScript) *embedded.Cluster {
	return ts.Value(scriptKafka{}).(*embedded.Cluster)
}

// scriptCount returns the number of records in a topic.
func scriptCount(ts *testscript.TestScript, topic string) (n int64) {
	for p := 0; ; p++ {
		end := scriptCluster(ts).HighWatermark(topic, p)
		if end < 0 {
			return n
		}
		n += end
	}
}

// scriptArgs fails the script if a command has too few arguments.
func scriptArgs(ts *testscript.TestScript, neg bool, args []string, least int, usage string) {
	if neg || len(args) < least {
		ts.Fatalf("usage: %s", usage)
	}
}

func scriptSend(ts *testscript.TestScript, neg bool, args []string) {
	scriptArgs(ts, neg, args, 2, "send TOPIC FILE")
	connection, err := broker.NewConnection(broker.Options{Brokers: scriptCluster(ts).Addrs()})
	ts.Check(err)
	defer connection.Close()
	publisher := broker.NewPublisher(broker.PublisherOptions{Client: connection.Client()})
	var mu sync.Mutex
	var failed error // written by the publisher's partitions until it is closed
	for line := range strings.Lines(ts.ReadFile(args[1])) {
		line = strings.TrimRight(line, "\n")
		var d struct {
			ProfileID string `json:"profile_id"`
		}
		_ = json.Unmarshal([]byte(line), &d) // a broken one has no key
		rec := decision.Record{Topic: args[0], Key: []byte(d.ProfileID), Value: []byte(line)}
		ts.Check(publisher.Publish(context.Background(), rec, func(err error) {
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
		}))
	}
	ts.Check(publisher.Close(context.Background()))
	ts.Check(failed)
}

func scriptAwait(ts *testscript.TestScript, neg bool, args []string) {
	scriptArgs(ts, neg, args, 2, "await TOPIC N")
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	end := time.Now().Add(time.Minute)
	for scriptCount(ts, args[0]) < int64(want) {
		if time.Now().After(end) {
			ts.Fatalf("after a minute %s has %d records, not %d", args[0], scriptCount(ts, args[0]), want)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func scriptDump(ts *testscript.TestScript, neg bool, args []string) {
	scriptArgs(ts, neg, args, 2, "dump TOPIC FILE")
	connection, err := broker.NewConnection(broker.Options{Brokers: scriptCluster(ts).Addrs()})
	ts.Check(err)
	defer connection.Close()
	var records []decision.Record
	ts.Check(connection.Scan(context.Background(), broker.ScanOptions{Topic: args[0]}, func(rec decision.Record) error {
		records = append(records, rec)
		return nil
	}))
	slices.SortFunc(records, func(a, b decision.Record) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	var out bytes.Buffer
	for _, r := range records {
		headers := make([]string, 0, len(r.Headers))
		for _, h := range r.Headers {
			headers = append(headers, h.Key+"="+string(h.Value))
		}
		line, err := json.Marshal(map[string]any{
			"partition": r.Partition, "offset": r.Offset, "key": string(r.Key), "value": string(r.Value), "headers": headers,
		})
		ts.Check(err)
		fmt.Fprintf(&out, "%s\n", line)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), out.Bytes(), 0o600))
}

func scriptCreate(ts *testscript.TestScript, neg bool, args []string) {
	scriptArgs(ts, neg, args, 2, "create TOPIC N [K=V …]")
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	var settings map[string]string
	for _, kv := range args[2:] {
		k, v, _ := strings.Cut(kv, "=")
		if settings == nil {
			settings = make(map[string]string)
		}
		settings[k] = v
	}
	ts.Check(scriptCluster(ts).CreateTopic(args[0], n, settings))
}

func scriptPut(ts *testscript.TestScript, neg bool, args []string) {
	scriptArgs(ts, neg, args, 3, "put TOPIC KEY FILE")
	connection, err := broker.NewConnection(broker.Options{Brokers: scriptCluster(ts).Addrs()})
	ts.Check(err)
	defer connection.Close()
	publisher := broker.NewPublisher(broker.PublisherOptions{Client: connection.Client()})
	value := os.Expand(strings.TrimSpace(ts.ReadFile(args[2])), ts.Getenv)
	done := make(chan error, 1)
	ts.Check(publisher.Publish(context.Background(), decision.Record{Topic: args[0], Key: []byte(args[1]), Value: []byte(value)}, func(err error) { done <- err }))
	ts.Check(<-done)
	ts.Check(publisher.Close(context.Background()))
}
