package service_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/configs"
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

	for _, killAt := range []int64{50, 300} {
		cmd, out := verdictCommand(t, cluster, nil, "redrive", "--yes", "--rate", "300")
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
	cmd, out := verdictCommand(t, cluster, nil, "redrive", "--yes", "--rate", "300")
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("the third redrive: %s", out)

	all, err := readTopic(t.Context(), cluster, kafka.DefaultDialer, topics.Decisions)
	if err != nil {
		t.Fatal(err)
	}
	times := make(map[string]int)
	for _, rec := range all {
		times[string(rec.Value)]++
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
