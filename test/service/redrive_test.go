package service_test

import (
	"fmt"
	"testing"
	"time"

	"verdict/configs"
	"verdict/internal/broker"
	"verdict/internal/decision"
)

// TestKilledRedriveRepeatsNothing kills two redrives, the second one later than the
// first, and lets a third one end.
func TestKilledRedriveRepeatsNothing(t *testing.T) {
	t.Parallel()
	const letters = 600
	cluster := startKafka(t, 6)
	topics := configs.Default().Kafka.Topics
	publish(t, cluster, letters, func(i int) decision.Record {
		from := decision.Record{Topic: topics.Decisions, Offset: int64(i), Key: []byte(task(i, i).ProfileID), Value: []byte(letterValue(i)), Time: time.Now()}
		letter := decision.DeadLetter{Reason: decision.Rejected, Error: "no", FailedAt: decision.Time{Time: time.Now()}}
		return letter.Encode(topics.DeadLetters, &from)
	})

	for _, killAt := range []int64{50, 400} {
		cmd, out := verdictCommand(t, cluster, nil, "redrive", "--yes", "--rate", "150")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		awaitRecords(t, cluster, topics.Decisions, killAt, ended, out)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-ended
	}
	cmd, out := verdictCommand(t, cluster, nil, "redrive", "--yes", "--rate", "150")
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("the third redrive: %s", out)

	conn, err := broker.NewConnection(broker.Options{Brokers: cluster.Addrs()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	times := make(map[string]int)
	// As the service reads it: without what the kills left of a transaction.
	if err := conn.Scan(t.Context(), broker.ScanOptions{Topic: topics.Decisions}, func(rec decision.Record) error {
		times[string(rec.Value)]++
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for i := range letters {
		if got := times[letterValue(i)]; got != 1 {
			t.Errorf("%s was sent back %d times, want once", letterValue(i), got)
		}
	}
}

// letterValue returns the decision of the dead letter i.
func letterValue(i int) string {
	return value(task(i, i), decision.CompletedPass, fmt.Sprintf(`"id":"d-%d"`, i))
}
