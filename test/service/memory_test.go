package service_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"verdict/configs"
	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/bulk/rows"
	"verdict/internal/passfort/sandbox"
)

// TestMemoryDoesNotFollowTheBacklog runs the service in a process of its own
// against two backlogs, and compares the most memory that it had. The sizes are
// set by VERDICT_TEST_BACKLOGS ("100000,1000000"): `make memory`.
func TestMemoryDoesNotFollowTheBacklog(t *testing.T) {
	if raceEnabled() {
		t.Skip("the race detector's own memory would be measured")
	}
	sizes := [2]int{5_000, 40_000}
	if given := os.Getenv("VERDICT_TEST_BACKLOGS"); given != "" {
		if _, err := fmt.Sscanf(given, "%d,%d", &sizes[0], &sizes[1]); err != nil {
			t.Fatalf("VERDICT_TEST_BACKLOGS: %v", err)
		}
	}
	var peaks [2]int
	for i, n := range sizes {
		peaks[i] = peakMemory(t, n)
		t.Logf("a backlog of %d: at most %.1f MiB resident", n, float64(peaks[i])/(1<<20))
	}
	// A decision that were kept would cost about 2 KiB: 70 MB for what the second
	// backlog has more.
	if most := peaks[0] + 32<<20; peaks[1] > most {
		t.Errorf("with %d decisions more the service took %d bytes more", sizes[1]-sizes[0], peaks[1]-peaks[0])
	}
}

// peakMemory is the most resident memory that a run takes, in bytes, to settle a
// backlog of n decisions.
func peakMemory(t *testing.T, n int) int {
	cluster, err := embedded.Start(embedded.Options{Topics: defaultTopics(6)})
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	box, err := sandbox.New(sandbox.Options{Key: apiKey})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(box)
	defer server.Close()
	topics := configs.Default().Kafka.Topics
	g, err := rows.NewGenerator(rows.GeneratorOptions{Repeated: -1})
	if err != nil {
		t.Fatal(err)
	}
	connection, err := broker.NewConnection(broker.Options{Brokers: cluster.Addrs()})
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	publisher := broker.NewPublisher(broker.PublisherOptions{Client: connection.Client()})
	for range n {
		row, err := g.Next()
		if err != nil {
			t.Fatal(err)
		}
		if err := publisher.Publish(t.Context(), row.Record(topics.Backfill), func(err error) {
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

	cmd := exec.CommandContext(t.Context(), "verdict", "run")
	cmd.Env = environ("VERDICT_KAFKA_BROKERS="+strings.Join(cluster.Addrs(), ","),
		"VERDICT_API_BASE_URL="+server.URL+"/4.0", "VERDICT_API_KEY="+apiKey, "VERDICT_API_RATE_LIMIT=0",
		"VERDICT_ADMIN_ADDR=127.0.0.1:0")
	logs := filepath.Join(t.TempDir(), "log")
	file, err := os.Create(logs)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd.Stderr = file
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	failed := func(err error) {
		t.Helper()
		text, _ := os.ReadFile(logs)
		t.Fatalf("the service ended with: %v\n%s", err, text)
	}

	peak, admin := 0, ""
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for recordsIn(cluster, topics.Results) < int64(n) {
		select {
		case <-tick.C:
		case err := <-ended:
			failed(err)
		}
		if admin == "" {
			admin = adminAddr(t, logs)
			continue
		}
		peak = max(peak, resident(t, admin))
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		failed(err)
	}
	return peak
}

// adminAddr is the admin server's address by a service's log, once it is there.
func adminAddr(t *testing.T, logs string) string {
	t.Helper()
	text, err := os.ReadFile(logs)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var started struct{ Admin string }
		if json.Unmarshal(line, &started) == nil && started.Admin != "" {
			return started.Admin
		}
	}
	return ""
}

// resident is a process's own word on its memory.
func resident(t *testing.T, admin string) int {
	t.Helper()
	answer, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(body)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "process_resident_memory_bytes "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
	}
	t.Fatal("the service does not tell its resident memory")
	return 0
}
