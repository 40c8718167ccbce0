package broker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"

	"github.com/segmentio/kafka-go"
)

func TestPublishRepeatsRefusedBatchInOrder(t *testing.T) {
	for _, code := range []kafka.Error{
		kafka.NotLeaderForPartition, kafka.NotEnoughReplicas, kafka.LeaderNotAvailable, kafka.TopicAuthorizationFailed,
	} {
		t.Run(code.Title(), func(t *testing.T) {
			inWorld(t, oneTopic(2), func(w *world) {
				p, calls := w.publisher(broker.PublisherOptions{MaxBatchRecords: 10})
				w.cluster.Inject(embedded.Fault{API: embedded.Produce, Code: int(code), Times: 7})
				for i := range 100 {
					w.publish(p, calls, record("results", fmt.Sprint(i%5), fmt.Sprint(i)))
				}
				mustClose(w.t, p)
				if got := calls.count(nil); got != 100 {
					w.t.Errorf("%d of 100 records done without error", got)
				}
				w.wantOrderPerKey("results", 2, 100)
				if got := calls.healthChanges(); len(got) != 2 || !strings.HasPrefix(got[0], "true publish to results/") || got[1] != "false <nil>" {
					w.t.Errorf("health changes %q, want failing once and working once", got)
				}
			})
		})
	}
}

func TestPublishDeliversTimedOutBatchAtLeastOnce(t *testing.T) {
	inWorld(t, oneTopic(1), func(w *world) {
		p, calls := w.publisher(broker.PublisherOptions{})
		w.cluster.Inject(embedded.Fault{API: embedded.Produce, Code: int(kafka.RequestTimedOut), Times: 1})
		w.publish(p, calls, record("results", "k", "a"), record("results", "k", "b"))
		mustClose(w.t, p)
		if got := calls.values(); !slices.Equal(got, []string{"a", "b"}) || calls.count(nil) != 2 {
			w.t.Errorf("done %q, %d without error, want each once", got, calls.count(nil))
		}
		// The broker stored the batch and said that it timed out.
		if got := w.read("results", 0); !slices.Equal(got, []string{"a", "b", "a", "b"}) {
			w.t.Errorf("stored %q", got)
		}
	})
}

func TestPublishReportsNoSingleFailure(t *testing.T) {
	inWorld(t, oneTopic(1), func(w *world) {
		p, calls := w.publisher(broker.PublisherOptions{})
		w.cluster.Inject(embedded.Fault{API: embedded.Produce, Code: int(kafka.NotLeaderForPartition), Times: 1})
		w.publish(p, calls, record("results", "k", "a"))
		mustClose(w.t, p)
		if calls.count(nil) != 1 || len(calls.healthChanges()) != 0 {
			w.t.Errorf("done %d, health changes %q, want 1 and none", calls.count(nil), calls.healthChanges())
		}
	})
}

func TestPublishWaitsOutMinutesWithoutBrokers(t *testing.T) {
	inWorld(t, embedded.Options{Brokers: 3, Topics: map[string]int{"results": 4, "dead": 4}}, func(w *world) {
		p, calls := w.publisher(broker.PublisherOptions{})
		for i := range 100 {
			w.publish(p, calls, record("results", fmt.Sprint(i%5), fmt.Sprint(i)))
		}
		time.Sleep(time.Minute)
		w.network.Cut()
		for i := 100; i < 200; i++ {
			w.publish(p, calls, record("results", fmt.Sprint(i%5), fmt.Sprint(i)))
			w.publish(p, calls, record("dead", fmt.Sprint(i%5), fmt.Sprint("dead", i)))
		}
		time.Sleep(10 * time.Minute)
		if got := calls.count(nil); got != 100 {
			w.t.Errorf("%d done while the brokers are away, want the first 100", got)
		}
		if got := calls.healthChanges(); len(got) != 1 || !strings.HasPrefix(got[0], "true") {
			w.t.Errorf("health changes while away: %q, want failing once", got)
		}
		w.network.Mend()
		back := time.Now()
		mustClose(w.t, p)
		if d := time.Since(back); d > 15*time.Second {
			w.t.Errorf("flushed %v after the brokers came back", d)
		}
		if got := calls.count(nil); got != 300 {
			w.t.Errorf("%d done, want 300", got)
		}
		if got := calls.healthChanges(); len(got) != 2 || got[1] != "false <nil>" {
			w.t.Errorf("health changes %q, want failing once and working once", got)
		}
		w.wantOrderPerKey("results", 4, 200)
	})
}

func TestPublishWaitsForAClusterAwayAtFirst(t *testing.T) {
	inWorld(t, oneTopic(1), func(w *world) {
		w.network.Cut()
		p, calls := w.publisher(broker.PublisherOptions{})
		w.publish(p, calls, record("results", "k", "a"))
		time.Sleep(5 * time.Minute)
		w.network.Mend()
		mustClose(w.t, p)
		if calls.count(nil) != 1 || len(calls.healthChanges()) != 2 {
			w.t.Errorf("done %d, health changes %q, want 1 and 2", calls.count(nil), calls.healthChanges())
		}
	})
}

func TestPublishWaitsForAMissingTopic(t *testing.T) {
	inWorld(t, oneTopic(1), func(w *world) {
		p, calls := w.publisher(broker.PublisherOptions{})
		w.publish(p, calls, record("missing", "k", "a"), record("results", "k", "b"))
		time.Sleep(time.Minute)
		if got := calls.values(); !slices.Equal(got, []string{"b"}) {
			w.t.Errorf("done %q, want the record for the topic that exists", got)
		}
		if got := calls.healthChanges(); len(got) != 1 || !strings.Contains(got[0], "publish to missing: ") || !strings.Contains(got[0], "does the topic exist?") {
			w.t.Errorf("health changes %q, want one that names the topic and the cause", got)
		}
		if err := w.cluster.CreateTopic("missing", 2, nil); err != nil {
			w.t.Fatal(err)
		}
		mustClose(w.t, p)
		if calls.count(nil) != 2 {
			w.t.Errorf("%d done, want 2", calls.count(nil))
		}
	})
}

func TestPublishFollowsATopicRecreatedSmaller(t *testing.T) {
	inWorld(t, oneTopic(8), func(w *world) {
		p, calls := w.publisher(broker.PublisherOptions{})
		for i := range 80 {
			w.publish(p, calls, record("results", fmt.Sprint(i%20), fmt.Sprint(i)))
		}
		time.Sleep(time.Minute)
		if err := w.cluster.DeleteTopic("results"); err != nil {
			w.t.Fatal(err)
		}
		for i := 80; i < 160; i++ {
			w.publish(p, calls, record("results", fmt.Sprint(i%20), fmt.Sprint(i)))
		}
		time.Sleep(time.Minute)
		if err := w.cluster.CreateTopic("results", 2, nil); err != nil {
			w.t.Fatal(err)
		}
		mustClose(w.t, p)
		if calls.count(nil) != 160 {
			w.t.Errorf("%d done, want 160", calls.count(nil))
		}
		if got := len(w.read("results", 0)) + len(w.read("results", 1)); got != 80 {
			w.t.Errorf("%d records in the new topic, want 80", got)
		}
	})
}

func TestPublishTimesOutASilentBroker(t *testing.T) {
	inWorld(t, oneTopic(1), func(w *world) {
		p, calls := w.publisher(broker.PublisherOptions{})
		w.swallowProduce()
		begin := time.Now()
		w.publish(p, calls, record("results", "k", "a"))
		mustClose(w.t, p)
		if d := time.Since(begin); calls.count(nil) != 1 || d < 30*time.Second || d > 31*time.Second {
			w.t.Errorf("done %d after %v, want one after the request's 30s", calls.count(nil), d)
		}
	})
}

func TestPublishGivesReplicasTimeToFollow(t *testing.T) {
	inWorld(t, oneTopic(1), func(w *world) {
		p, calls := w.publisher(broker.PublisherOptions{})
		timeouts := w.produceTimeouts()
		w.publish(p, calls, record("results", "k", "a"))
		mustClose(w.t, p)
		// More than the 9s after which a cluster fences a dead broker.
		if got := timeouts(); !slices.Equal(got, []time.Duration{15 * time.Second}) {
			w.t.Errorf("the broker got time-outs %v, want half of the request's 30s", got)
		}
	})
}

func TestPublishKeepsOrderWhileLeadersMove(t *testing.T) {
	inWorld(t, embedded.Options{Brokers: 3, Topics: map[string]int{"results": 4}}, func(w *world) {
		p, calls := w.publisher(broker.PublisherOptions{})
		for i := range 1000 {
			w.publish(p, calls, record("results", fmt.Sprint(i%5), fmt.Sprint(i)))
			time.Sleep(10 * time.Millisecond)
			if i%100 == 50 {
				w.cluster.MoveLeaders()
			}
		}
		mustClose(w.t, p)
		if calls.count(nil) != 1000 {
			w.t.Errorf("%d done, want 1000", calls.count(nil))
		}
		w.wantOrderPerKey("results", 4, 1000)
	})
}

func TestPublishSkipsABatchAlreadyStored(t *testing.T) {
	inWorld(t, oneTopic(1), func(w *world) {
		var checked []string
		answers := []error{errors.New("can't tell yet"), nil}
		p, calls := w.publisher(broker.PublisherOptions{
			AlreadyStored: func(_ context.Context, partition int, rec *decision.Record) (bool, error) {
				checked = append(checked, string(rec.Value))
				err := answers[0]
				if len(answers) > 1 {
					answers = answers[1:]
				}
				return w.cluster.HighWatermark("results", partition) > 0, err
			},
		})
		// The broker stores the batch and says that it timed out.
		w.cluster.Inject(embedded.Fault{API: embedded.Produce, Code: int(kafka.RequestTimedOut), Times: 1})
		w.publish(p, calls, record("results", "k", "a"), record("results", "k", "b"))
		mustClose(w.t, p)
		if got := w.read("results", 0); !slices.Equal(got, []string{"a", "b"}) || calls.count(nil) != 2 {
			w.t.Errorf("stored %q, %d done, want each once", got, calls.count(nil))
		}
		if !slices.Equal(checked, []string{"a", "a"}) {
			w.t.Errorf("AlreadyStored was called for %q, want the first record, twice", checked)
		}
	})
}

func TestPublishRepeatsABatchNotStored(t *testing.T) {
	inWorld(t, oneTopic(1), func(w *world) {
		p, calls := w.publisher(broker.PublisherOptions{
			AlreadyStored: func(context.Context, int, *decision.Record) (bool, error) { return false, nil },
		})
		w.cluster.Inject(embedded.Fault{API: embedded.Produce, Code: int(kafka.NotLeaderForPartition), Times: 2})
		w.publish(p, calls, record("results", "k", "a"))
		mustClose(w.t, p)
		if got := w.read("results", 0); !slices.Equal(got, []string{"a"}) || calls.count(nil) != 1 {
			w.t.Errorf("stored %q, %d done, want each once", got, calls.count(nil))
		}
	})
}

func TestPublisherCloseEndsAlreadyStored(t *testing.T) {
	inWorld(t, oneTopic(1), func(w *world) {
		p, calls := w.publisher(broker.PublisherOptions{
			AlreadyStored: func(ctx context.Context, _ int, _ *decision.Record) (bool, error) {
				<-ctx.Done()
				return false, ctx.Err()
			},
		})
		w.cluster.Inject(embedded.Fault{API: embedded.Produce, Code: int(kafka.NotLeaderForPartition), Times: 1})
		w.publish(p, calls, record("results", "k", "a"))
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
		defer cancel()
		if err := p.Close(ctx); err == nil || calls.count(broker.ErrPublisherClosed) != 1 {
			w.t.Errorf("closed with %v; %d given up", err, calls.count(broker.ErrPublisherClosed))
		}
	})
}
