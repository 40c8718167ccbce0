package broker_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestLogEndsCountWhatReadersDoNotGetYet(t *testing.T) {
	inBubble(t, embedded.Options{Brokers: 2, Topics: map[string]int{"a": 3}}, func(b *bench) {
		t := b.t
		b.store("a", 0, 10)
		want := make(map[int]int64)
		for p := range 3 {
			want[p] = b.cluster.HighWatermark("a", p)
		}
		ends, err := b.conn.LogEnds(t.Context(), "a")
		if err != nil || !maps.Equal(ends, want) {
			t.Errorf("%v, %v, want %v", ends, err, want)
		}

		c := b.franz(kgo.TransactionalID("x"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		defer c.Close()
		transact(t, c, &kgo.Record{Topic: "a", Value: []byte("open"), Partition: 1})
		bounds, err := b.conn.Bounds(t.Context(), "a")
		if err != nil || bounds[1].End != want[1] {
			t.Errorf("bounds %v, %v, want %d as before", bounds, err, want[1])
		}
		want[1]++
		if ends, err = b.conn.LogEnds(t.Context(), "a"); err != nil || !maps.Equal(ends, want) {
			t.Errorf("with an open transaction: %v, %v, want %v", ends, err, want)
		}
		if err := c.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
	})
}

func TestLogEndsSeeMovesThroughAndMissNoTopic(t *testing.T) {
	inBubble(t, oneTopic(2), func(b *bench) {
		b.cluster.Inject(embedded.Fault{API: embedded.ListOffsets, Code: int(kafka.NotLeaderForPartition), Times: 3})
		if ends, err := b.conn.LogEnds(b.t.Context(), "results"); err != nil || len(ends) != 2 {
			b.t.Errorf("%v, %v", ends, err)
		}
		_, err := b.conn.LogEnds(b.t.Context(), "nowhere")
		wantErrorIs(b.t, err, broker.ErrNoTopic)
	})
}

func TestOffsetsOfAGroupWithoutMembers(t *testing.T) {
	inBubble(t, oneTopic(3), func(b *bench) {
		t := b.t
		if got, err := b.conn.GroupOffsets(t.Context(), "g", "results"); err != nil || len(got) != 0 {
			t.Errorf("before: %v, %v", got, err)
		}
		want := map[int]broker.GroupOffset{0: {Offset: 7, Metadata: "a b"}, 2: {Offset: 0, Metadata: ""}}
		for range 2 {
			b.cluster.Inject(embedded.Fault{API: embedded.OffsetCommit, Code: int(kafka.NotCoordinatorForGroup), Times: 1})
			if err := b.conn.CommitGroupOffsets(t.Context(), "g", "results", want); err != nil {
				t.Fatal(err)
			}
			got, err := b.conn.GroupOffsets(t.Context(), "g", "results")
			if err != nil || !maps.Equal(got, want) {
				t.Errorf("%v, %v, want %v", got, err, want)
			}
			want[1] = broker.GroupOffset{Offset: 1, Metadata: strings.Repeat("m", 1000)}
		}
		b.cluster.Inject(embedded.Fault{API: embedded.OffsetFetch, Code: int(kafka.GroupAuthorizationFailed), Times: 1})
		_, err := b.conn.GroupOffsets(t.Context(), "g", "results")
		wantErrorIs(t, err, kafka.GroupAuthorizationFailed)
		b.cluster.Inject(embedded.Fault{API: embedded.OffsetCommit, Code: int(kafka.GroupAuthorizationFailed), Times: 1})
		wantErrorIs(t, b.conn.CommitGroupOffsets(t.Context(), "g", "results", want), kafka.GroupAuthorizationFailed)
	})
}

func TestABatchThatLandedIsNotSentAgain(t *testing.T) {
	inBubble(t, oneTopic(1), func(b *bench) {
		var asked []string
		answers := []error{errors.New("can't tell yet"), nil}
		p, told := b.publisher(broker.PublisherOptions{
			AlreadyStored: func(_ context.Context, partition int, rec *decision.Record) (bool, error) {
				asked = append(asked, string(rec.Value))
				err := answers[0]
				if len(answers) > 1 {
					answers = answers[1:]
				}
				return b.cluster.HighWatermark("results", partition) > 0, err
			},
		})
		// The first is stored, and said to have timed out; the second is refused.
		b.cluster.Inject(embedded.Fault{API: embedded.Produce, Code: int(kafka.RequestTimedOut), Times: 1})
		b.publish(p, told, record("results", "k", "a"), record("results", "k", "b"))
		mustClose(b.t, p)
		if got := b.read("results", 0); !slices.Equal(got, []string{"a", "b"}) || told.count(nil) != 2 {
			b.t.Errorf("stored %q, %d done, want each once", got, told.count(nil))
		}
		if !slices.Equal(asked, []string{"a", "a"}) {
			b.t.Errorf("asked for %q, want the first record, twice", asked)
		}
	})
}

func TestABatchThatDidNotLandIsSentAgain(t *testing.T) {
	inBubble(t, oneTopic(1), func(b *bench) {
		p, told := b.publisher(broker.PublisherOptions{
			AlreadyStored: func(context.Context, int, *decision.Record) (bool, error) { return false, nil },
		})
		b.cluster.Inject(embedded.Fault{API: embedded.Produce, Code: int(kafka.NotLeaderForPartition), Times: 2})
		b.publish(p, told, record("results", "k", "a"))
		mustClose(b.t, p)
		if got := b.read("results", 0); !slices.Equal(got, []string{"a"}) || told.count(nil) != 1 {
			b.t.Errorf("stored %q, %d done", got, told.count(nil))
		}
	})
}

func TestCloseEndsAPublisherThatLooks(t *testing.T) {
	inBubble(t, oneTopic(1), func(b *bench) {
		p, told := b.publisher(broker.PublisherOptions{
			AlreadyStored: func(ctx context.Context, _ int, _ *decision.Record) (bool, error) {
				<-ctx.Done()
				return false, ctx.Err()
			},
		})
		b.cluster.Inject(embedded.Fault{API: embedded.Produce, Code: int(kafka.NotLeaderForPartition), Times: 1})
		b.publish(p, told, record("results", "k", "a"))
		ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
		defer cancel()
		if err := p.Close(ctx); err == nil || told.count(broker.ErrPublisherClosed) != 1 {
			b.t.Errorf("closed with %v; %d given up", err, told.count(broker.ErrPublisherClosed))
		}
	})
}

func TestKafkaTellsItsLogEndsAndKeepsTheOffsetsOfAGroupWithoutMembers(t *testing.T) {
	conn := connectToKafka(t)
	topic := topicInKafka(t, conn, 2, nil)
	publishToKafka(t, conn, 10, func(i int) decision.Record { return record(topic, "same key", "v") })
	ends, err := conn.LogEnds(withTimeout(t), topic)
	if err != nil || len(ends) != 2 || ends[0]+ends[1] != 10 {
		t.Errorf("%v, %v, want 10 records", ends, err)
	}
	if got, err := conn.GroupOffsets(withTimeout(t), topic, topic); err != nil || len(got) != 0 {
		t.Errorf("before: %v, %v", got, err)
	}
	want := map[int]broker.GroupOffset{0: {Offset: 3, Metadata: "a b"}, 1: {Offset: 0, Metadata: "a b"}}
	if err := conn.CommitGroupOffsets(withTimeout(t), topic, topic, want); err != nil {
		t.Fatal(err)
	}
	if got, err := conn.GroupOffsets(withTimeout(t), topic, topic); err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
}
