package service_test

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"verdict/configs"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
	"verdict/internal/passfort/sandbox"
	"verdict/test/fixture"
)

// TestRunMemoryIsIndependentOfTheBacklog runs the service in a process of its own
// with two backlogs, and compares the most memory that it used. VERDICT_TEST_BACKLOGS
// sets the backlogs ("100000,1000000", as in `make memory`).
func TestRunMemoryIsIndependentOfTheBacklog(t *testing.T) {
	if fixture.RaceEnabled() {
		t.Skip("the memory of the race detector would be measured")
	}
	t.Parallel()
	sizes := [2]int{5_000, 40_000}
	if given := os.Getenv("VERDICT_TEST_BACKLOGS"); given != "" {
		if _, err := fmt.Sscanf(given, "%d,%d", &sizes[0], &sizes[1]); err != nil {
			t.Fatalf("VERDICT_TEST_BACKLOGS: %v", err)
		}
	}
	var peaks [2]int
	for i, n := range sizes {
		peaks[i] = runPeak(t, n)
		t.Logf("a backlog of %d: at most %.1f MiB resident", n, float64(peaks[i])/(1<<20))
	}
	// Keeping a decision in memory would cost about 2 KiB, or 70 MB for what the
	// second backlog has more.
	if most := peaks[0] + 32<<20; peaks[1] > most {
		t.Errorf("with %d decisions more the service used %d bytes more", sizes[1]-sizes[0], peaks[1]-peaks[0])
	}
}

// runPeak returns the most resident memory, in bytes, that `verdict run` uses to
// settle a backlog of n decisions.
func runPeak(t *testing.T, n int) (peak int) {
	t.Helper()
	cluster := startKafka(t, 6)
	defer cluster.Close()
	topics := configs.Default().Kafka.Topics
	g := newGenerator(t)
	publish(t, cluster, n, func(int) decision.Record { return nextRecord(t, g, topics.Backfill) })
	return peakUntil(t, cluster, func() bool { return recordsIn(cluster, topics.Results) >= int64(n) })
}

// peakUntil runs `verdict run` until it is done, and returns the most resident memory that
// it used.
func peakUntil(t *testing.T, cluster *embedded.Cluster, done func() bool) (peak int) {
	t.Helper()
	box, err := sandbox.New(sandbox.Options{Key: apiKey})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(box)
	defer server.Close()
	cmd, out := verdictCommand(t, cluster, []string{
		"VERDICT_API_BASE_URL=" + server.URL + "/4.0", "VERDICT_API_KEY=" + apiKey, "VERDICT_API_RATE_LIMIT=0",
		"VERDICT_ADMIN_ADDR=127.0.0.1:0",
	}, "run")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	admin := ""
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case err := <-ended:
			t.Fatalf("the service ended with: %v\n%s", err, out)
		}
		if admin == "" {
			admin = adminAddr(out.String())
			continue
		}
		peak = max(peak, resident(t, admin))
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatalf("the service ended with: %v\n%s", err, out)
	}
	return peak
}

// TestIntakeMemoryIsBounded has records of a megabyte in many partitions, and batches of
// kilobytes that unpack to a gigabyte.
func TestIntakeMemoryIsBounded(t *testing.T) {
	if fixture.RaceEnabled() {
		t.Skip("the memory of the race detector would be measured")
	}
	t.Parallel()
	const parts, each = 24, 6
	for name, c := range map[string]struct {
		fill func(t *testing.T, produce func(partition int, b fixture.Batch)) (results, letters int)
		most int // MiB
	}{
		"records of a megabyte": {func(_ *testing.T, produce func(int, fixture.Batch)) (results, letters int) {
			for p := range parts {
				for range each {
					produce(p, fixture.Batch{Records: 1, Packed: fixture.RecordOf(0, []byte("key"), make([]byte, 1_000_000))})
				}
			}
			return 0, parts * each
		}, 200},
		"bombs": {func(t *testing.T, produce func(int, fixture.Batch)) (results, letters int) {
			for p := range parts {
				before, after := task(2*p, 2*p), task(2*p+1, 2*p+1)
				c := fixture.Compression(1 + p%4)
				size := map[fixture.Compression]int{fixture.Snappy: 15 << 20, fixture.LZ4: 128 << 20}[c] // what fits a batch
				produce(p, fixture.Bomb(c, nil, cmp.Or(size, 256<<20), []byte(value(before, decision.CompletedPass)), []byte(value(after, decision.CompletedPass))))
			}
			return 2 * parts, parts
		}, 150},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := startKafka(t, parts)
			defer cluster.Close()
			topics := configs.Default().Kafka.Topics
			results, letters := c.fill(t, func(p int, b fixture.Batch) { fixture.ProduceBatch(t, cluster, nil, topics.Backfill, p, b) })
			peak := peakUntil(t, cluster, func() bool {
				return recordsIn(cluster, topics.Results) >= int64(results) && recordsIn(cluster, topics.DeadLetters) >= int64(letters)
			})
			t.Logf("at most %.1f MiB resident", float64(peak)/(1<<20))
			if peak > c.most<<20 {
				t.Errorf("at most %.1f MiB resident, want %d", float64(peak)/(1<<20), c.most)
			}
			if n := recordsIn(cluster, topics.DeadLetters); n != int64(letters) {
				t.Errorf("%d dead letters, want %d", n, letters)
			}
		})
	}
}

var adminInLog = regexp.MustCompile(`"admin":"([^"]+)"`)

// adminAddr returns the address of the admin server from a service's log, empty if it
// is not there yet.
func adminAddr(log string) string {
	found := adminInLog.FindStringSubmatch(log)
	if found == nil {
		return ""
	}
	return found[1]
}

// resident returns the resident memory, in bytes, that a service's metrics show.
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
	t.Fatal("the metrics do not show the resident memory")
	return 0
}
