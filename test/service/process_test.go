package service_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/bulk/rows"
	"verdict/internal/decision"
)

// startKafka starts an embedded Kafka on loopback with the default topics, each with n
// partitions.
func startKafka(t testing.TB, n int) *embedded.Cluster {
	t.Helper()
	cluster, err := embedded.Start(embedded.Options{Topics: defaultTopics(n)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster
}

// verdictCommand returns a command line of `verdict` as a process of its own, which
// uses a Kafka, and its output. more is added to the environment.
func verdictCommand(t *testing.T, cluster *embedded.Cluster, more []string, args ...string) (*exec.Cmd, *lockedBuffer) {
	cmd := exec.CommandContext(t.Context(), "verdict", args...)
	cmd.Env = environ(append(more, "VERDICT_KAFKA_BROKERS="+strings.Join(cluster.Addrs(), ","))...)
	out := new(lockedBuffer)
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, out
}

// environ returns an environment for `verdict`: the test's, without the variables that
// begin with VERDICT_, and more. Those that steer tests would be faults of the
// configuration.
func environ(more ...string) []string {
	ours := func(e string) bool { return strings.HasPrefix(e, "VERDICT_") }
	return append(slices.DeleteFunc(os.Environ(), ours), more...)
}

// awaitRecords waits until a topic has n records, and fails the test if the process
// that should make them ends first.
func awaitRecords(t *testing.T, cluster *embedded.Cluster, topic string, n int64, ended <-chan error, out *lockedBuffer) {
	t.Helper()
	for recordsIn(cluster, topic) < n {
		select {
		case err := <-ended:
			t.Fatalf("the process ended with %v before %s had %d records:\n%s", err, topic, n, out)
		case <-time.After(time.Millisecond):
		}
	}
}

// publish puts n records into their topics.
func publish(t testing.TB, cluster *embedded.Cluster, n int, record func(i int) decision.Record) {
	t.Helper()
	connection, err := broker.NewConnection(broker.Options{Brokers: cluster.Addrs()})
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	publisher := broker.NewPublisher(broker.PublisherOptions{Client: connection.Client()})
	for i := range n {
		if err := publisher.Publish(t.Context(), record(i), func(err error) {
			if err != nil {
				t.Error(err)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := publisher.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// newGenerator returns a generator of decisions, each on a task of its own.
func newGenerator(t testing.TB) *rows.Generator {
	t.Helper()
	g, err := rows.NewGenerator(rows.GeneratorOptions{Repeated: -1})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// nextRow returns the generator's next decision.
func nextRow(t testing.TB, g *rows.Generator) rows.Row {
	t.Helper()
	row, err := g.Next()
	if err != nil {
		t.Fatal(err)
	}
	return row
}

// nextRecord returns the record of the generator's next decision.
func nextRecord(t testing.TB, g *rows.Generator, topic string) decision.Record {
	t.Helper()
	row := nextRow(t, g)
	return row.Record(topic)
}

// generatedFile returns the path of a JSON Lines file of n generated decisions.
func generatedFile(t testing.TB, n int) string {
	t.Helper()
	g := newGenerator(t)
	var b bytes.Buffer
	for range n {
		b.Write(nextRow(t, g).Value)
		b.WriteByte('\n')
	}
	file := filepath.Join(t.TempDir(), "decisions.jsonl")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
