package service_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/configs"
	"verdict/internal/broker/embedded"
	"verdict/internal/bulk/rows"
	"verdict/internal/decision"
)

// TestASubmitThatIsKilledGoesOn kills real processes, by kill -9 and by ^C, at
// random moments, and gives the same command again each time.
func TestASubmitThatIsKilledGoesOn(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute of real time")
	}
	const rows, perSecond = 20_000, 4000
	topic := configs.Default().Kafka.Topics.Backfill
	cluster, err := embedded.Start(embedded.Options{Topics: map[string]int{topic: partitions}})
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	file := filepath.Join(t.TempDir(), "decisions.jsonl")
	if err := os.WriteFile(file, madeUpFile(t, rows), 0o600); err != nil {
		t.Fatal(err)
	}
	command := func(perSecond int) (*exec.Cmd, *bytes.Buffer) {
		cmd := exec.CommandContext(t.Context(), "verdict", "submit", file, "--rate", fmt.Sprint(perSecond))
		cmd.Env = environ("VERDICT_KAFKA_BROKERS=" + strings.Join(cluster.Addrs(), ","))
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		return cmd, &out
	}

	// Each process is ended when it has sent so many rows more: at once, in the
	// middle, and behind its checkpoint, which is due after five seconds.
	for i, more := range []int64{1 + rand.Int64N(50), 1000 + rand.Int64N(1000), 2000 + rand.Int64N(500), 1 + rand.Int64N(200)} {
		before := recordsIn(cluster, topic)
		cmd, out := command(perSecond)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(time.Minute); recordsIn(cluster, topic) < before+more; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("process %d: %d of %d rows after a minute: %s", i, recordsIn(cluster, topic)-before, more, out)
			}
		}
		signal := os.Kill
		if i == 2 {
			signal = syscall.SIGINT
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		err := cmd.Wait()
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			t.Fatalf("process %d ended with %v: %s", i, err, out)
		}
		stopped := regexp.MustCompile(`verdict: stopped with [0-9,]+ of 20,000 decisions acknowledged; run the same command again to continue\n$`)
		if signal == syscall.SIGINT && !stopped.MatchString(out.String()) {
			t.Errorf("after ^C: %s", out)
		}
		t.Logf("%v after %d rows: %s", signal, recordsIn(cluster, topic)-before, out)
	}
	before := recordsIn(cluster, topic) // and what the last one has on its way, perhaps
	cmd, out := command(0)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var submitted, earlier int64
	if _, line, ok := strings.Cut(out.String(), " submitted="); ok {
		if _, err := fmt.Sscanf(line, "%d earlier=%d ", &submitted, &earlier); err != nil {
			t.Error(err)
		}
	}
	if submitted+earlier != rows || earlier < before {
		t.Errorf("got %s, want earlier=%d or more, and with submitted %d", out, before, rows)
	}

	records, err := readTopic(t.Context(), cluster, kafka.DefaultDialer, topic)
	if err != nil {
		t.Fatal(err)
	}
	times := make(map[int64]int)
	for _, rec := range records {
		place, ok := decision.BatchPlaceOf(rec.Headers)
		if !ok || place.Size != rows {
			t.Fatalf("%v: %+v", rec.Origin(), place)
		}
		times[place.Line]++
	}
	missing := 0
	for line := range int64(rows) {
		if times[line+1] == 0 {
			missing++
		}
	}
	if missing > 0 || len(records) != rows {
		t.Errorf("%d rows are missing, %d records of %d rows", missing, len(records), rows)
	}
}

// madeUpFile is JSON Lines of decisions, each on a task of its own.
func madeUpFile(t testing.TB, n int) []byte {
	t.Helper()
	g, err := rows.NewGenerator(rows.GeneratorOptions{Repeated: -1})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for range n {
		row, err := g.Next()
		if err != nil {
			t.Fatal(err)
		}
		b.Write(row.Value)
		b.WriteByte('\n')
	}
	return b.Bytes()
}
