package service_test

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/configs"
	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
)

// TestARedriveThatIsKilledRepeatsNothing kills redrives in the middle, each time
// later, and lets the last one end.
func TestARedriveThatIsKilledRepeatsNothing(t *testing.T) {
	cluster, err := embedded.Start(embedded.Options{Topics: defaultTopics(6)})
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	topics := configs.Default().Kafka.Topics
	const n = 600
	putLetters(t, cluster, topics, n)

	begin := func() (*exec.Cmd, *bytes.Buffer) {
		cmd := exec.Command("verdict", "redrive", "--yes", "--rate", "300", "--kafka-brokers", strings.Join(cluster.Addrs(), ","))
		out := new(bytes.Buffer)
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, out
	}
	for _, kill := range []int64{50, 300} {
		cmd, out := begin()
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		for recordsIn(cluster, topics.Decisions) < kill {
			select {
			case err := <-ended:
				t.Fatalf("it ended by itself: %v\n%s", err, out)
			case <-time.After(time.Millisecond):
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-ended
	}
	cmd, out := begin()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("the last of three: %s", out)

	all, err := readTopic(t.Context(), cluster, kafka.DefaultDialer, topics.Decisions)
	if err != nil {
		t.Fatal(err)
	}
	times := make(map[string]int)
	for _, rec := range all {
		times[string(rec.Value)]++
	}
	for i := range n {
		if got := times[letterValue(i)]; got != 1 {
			t.Errorf("%s went back %d times, want once", letterValue(i), got)
		}
	}
}

func letterValue(i int) string {
	return value(task(i, i), decision.CompletedPass, fmt.Sprintf(`"id":"d-%d"`, i))
}

// putLetters puts dead letters of n decisions into their topic.
func putLetters(t *testing.T, cluster *embedded.Cluster, topics configs.Topics, n int) {
	t.Helper()
	connection, err := broker.NewConnection(broker.Options{Brokers: cluster.Addrs()})
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	publisher := broker.NewPublisher(broker.PublisherOptions{Client: connection.Client()})
	for i := range n {
		from := decision.Record{Topic: topics.Decisions, Offset: int64(i), Key: []byte(task(i, i).ProfileID), Value: []byte(letterValue(i)), Time: time.Now()}
		letter := decision.DeadLetter{Reason: decision.Rejected, Error: "no", FailedAt: decision.Time{Time: time.Now()}}
		if err := publisher.Publish(t.Context(), letter.Record(topics.DeadLetters, &from), func(error) {}); err != nil {
			t.Fatal(err)
		}
	}
	if err := publisher.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}
