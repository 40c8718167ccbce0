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

	"verdict/configs"
	"verdict/internal/broker"
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
	// Each process is ended after it has sent this many rows more: in its first transaction,
	// of which there is one a second, or in a later one.
	for i, more := range []int64{1 + rand.Int64N(50), 4001 + rand.Int64N(1000), 1 + rand.Int64N(500), 1 + rand.Int64N(200)} {
		before := int64(len(committed(t, cluster, topic)))
		cmd, out := verdictCommand(t, cluster, nil, "submit", file, "--rate", fmt.Sprint(perSecond))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		awaitRecords(t, cluster, topic, recordsIn(cluster, topic)+more, ended, out)
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
		stopped := regexp.MustCompile(`verdict: stopped with [0-9,]+ of 20,000 decisions sent; run the same command again, here or on another machine, to continue\n$`)
		if signal == syscall.SIGINT && !stopped.MatchString(out.String()) {
			t.Errorf("after ^C: %s", out)
		}
		t.Logf("%v after %d rows: %s", signal, int64(len(committed(t, cluster, topic)))-before, out)
	}

	before := int64(len(committed(t, cluster, topic)))
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
	if submitted+earlier != rows || earlier != before {
		t.Errorf("got %s, want earlier=%d, and %d in all", out, before, rows)
	}
	checkBatch(t, cluster, topic, rows)
}

// A submit that was suspended, for as long as another one needed to send some of the rows or
// all of them, writes nothing when it wakes up. If nobody took its batch over, it goes on.
func TestSuspendedSubmitRepeatsNothing(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds of real time")
	}
	for name, others := range map[string]int{"nobody else": 0, "another": 1, "two others": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const rows = 3000
			cluster, topic := startKafka(t, partitions), configs.Default().Kafka.Topics.Backfill
			file := generatedFile(t, rows)
			first, out := verdictCommand(t, cluster, nil, "submit", file, "--rate", "1000")
			if err := first.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- first.Wait() }()
			awaitRecords(t, cluster, topic, 1, ended, out)
			if err := first.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			if others == 2 { // which is stopped as well, and stays so
				second, out := verdictCommand(t, cluster, nil, "submit", file, "--rate", "1000")
				if err := second.Start(); err != nil {
					t.Fatal(err)
				}
				secondEnded := make(chan error, 1)
				go func() { secondEnded <- second.Wait() }()
				awaitRecords(t, cluster, topic, recordsIn(cluster, topic)+500, secondEnded, out)
				if err := second.Process.Signal(syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
				defer func() {
					_ = second.Process.Kill()
					<-secondEnded
				}()
			}
			if others > 0 {
				last, out := verdictCommand(t, cluster, nil, "submit", file, "--actor", "the last")
				if err := last.Run(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			if err := first.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			err := <-ended
			if taken := strings.Contains(out.String(), "was taken over by the last on "); taken != (others > 0) || (err == nil) != (others == 0) {
				t.Errorf("it ended with %v: %s", err, out)
			}
			checkBatch(t, cluster, topic, rows)
		})
	}
}

// committed returns the records of a topic as the service reads them: without what was left
// of transactions.
func committed(t *testing.T, cluster *embedded.Cluster, topic string) (records []decision.Record) {
	t.Helper()
	conn, err := broker.NewConnection(broker.Options{Brokers: cluster.Addrs()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Scan(t.Context(), broker.ScanOptions{Topic: topic}, func(rec decision.Record) error {
		records = append(records, rec)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return records
}

// checkBatch checks that a topic has each row of a batch once.
func checkBatch(t *testing.T, cluster *embedded.Cluster, topic string, rows int64) {
	t.Helper()
	records := committed(t, cluster, topic)
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
