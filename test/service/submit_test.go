package service_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/segmentio/kafka-go"

	"verdict/configs"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
)

// TestKilledSubmitResumes ends submits of one file at random moments, by kill -9 and
// by ^C, and repeats the command each time.
func TestKilledSubmitResumes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds of real time")
	}
	t.Parallel()
	const rows, perSecond = 20_000, 4000
	cluster, topic := startKafka(t, partitions), configs.Default().Kafka.Topics.Backfill
	file := generatedFile(t, rows)
	// Each process is ended after it has sent this many rows more: at once, in the
	// middle, and after its checkpoint, which is due after five seconds.
	for i, more := range []int64{1 + rand.Int64N(50), 1000 + rand.Int64N(1000), 2000 + rand.Int64N(500), 1 + rand.Int64N(200)} {
		before := recordsIn(cluster, topic)
		cmd, out := verdictCommand(t, cluster, nil, "submit", file, "--rate", fmt.Sprint(perSecond))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		awaitRecords(t, cluster, topic, before+more, ended, out)
		signal := os.Kill
		if i == 2 {
			signal = syscall.SIGINT
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		err := <-ended
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			t.Fatalf("process %d ended with %v: %s", i, err, out)
		}
		stopped := regexp.MustCompile(`verdict: stopped with [0-9,]+ of 20,000 decisions acknowledged; run the same command again to continue\n$`)
		if signal == syscall.SIGINT && !stopped.MatchString(out.String()) {
			t.Errorf("after ^C: %s", out)
		}
		t.Logf("%v after %d rows: %s", signal, recordsIn(cluster, topic)-before, out)
	}

	before := recordsIn(cluster, topic) // rows that the last process has on its way may come later
	cmd, out := verdictCommand(t, cluster, nil, "submit", file)
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
		t.Errorf("got %s, want earlier=%d or more, and %d in all", out, before, rows)
	}
	checkBatch(t, cluster, topic, rows)
}

// checkBatch checks that a topic has each row of a batch once.
func checkBatch(t *testing.T, cluster *embedded.Cluster, topic string, rows int64) {
	t.Helper()
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
	for line := range rows {
		if times[line+1] == 0 {
			missing++
		}
	}
	if missing > 0 || int64(len(records)) != rows {
		t.Errorf("%d rows are missing; there are %d records for %d rows", missing, len(records), rows)
	}
}
