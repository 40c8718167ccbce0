package broker_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"

	"github.com/segmentio/kafka-go"
)

func oneTopic(partitions int) embedded.Options {
	return embedded.Options{Topics: map[string]int{"results": partitions}}
}

func TestRecordIsStoredBeforeItIsDone(t *testing.T) {
	inBubble(t, oneTopic(1), func(b *bench) {
		var observed []string
		p, _ := b.publisher(broker.PublisherOptions{
			Observe: func(rec *decision.Record, seconds float64) {
				observed = append(observed, fmt.Sprintf("%s %.3f", rec.Topic, seconds))
			},
		})
		defer mustClose(b.t, p)
		stored := make(chan int64)
		err := p.Publish(b.t.Context(), record("results", "k", "v"), func(err error) {
			if err != nil {
				b.t.Error(err)
			}
			stored <- b.cluster.HighWatermark("results", 0)
		})
		if err != nil {
			b.t.Fatal(err)
		}
		if n := <-stored; n != 1 {
			b.t.Errorf("%d records stored when done was called, want 1", n)
		}
		// The linger, on the bubble's clock.
		if want := []string{"results 0.002"}; !slices.Equal(observed, want) {
			b.t.Errorf("observed %q, want %q", observed, want)
		}
	})
}

func TestRecordArrivesByteForByte(t *testing.T) {
	inBubble(t, oneTopic(1), func(b *bench) {
		p, told := b.publisher(broker.PublisherOptions{})
		at := time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC)
		b.publish(p, told,
			decision.Record{
				Topic: "results", Key: []byte{0, 0xff}, Value: []byte("v\x00"), Time: at,
				Headers: []decision.Header{{Key: "a", Value: []byte("1")}, {Key: "a", Value: nil}, {Key: "", Value: []byte{}}},
			},
			decision.Record{Topic: "results", Key: nil, Value: nil},
			decision.Record{Topic: "results", Key: []byte{}, Value: []byte{}},
		)
		mustClose(b.t, p)
		got := b.messages("results", 0)
		if len(got) != 3 {
			b.t.Fatalf("%d messages, want 3", len(got))
		}
		first := got[0]
		if !bytes.Equal(first.Key, []byte{0, 0xff}) || string(first.Value) != "v\x00" || !first.Time.Equal(at) {
			b.t.Errorf("got %+v", first)
		}
		if len(first.Headers) != 3 || first.Headers[0].Key != "a" || string(first.Headers[0].Value) != "1" ||
			first.Headers[1].Value != nil || first.Headers[2].Key != "" {
			b.t.Errorf("headers %+v", first.Headers)
		}
		if got[1].Key != nil || got[1].Value != nil || got[1].Time.IsZero() {
			b.t.Errorf("nil key and value came back as %+v", got[1])
		}
		if len(got[2].Key) != 0 || len(got[2].Value) != 0 {
			b.t.Errorf("empty key and value came back as %+v", got[2])
		}
	})
}

func TestKeyGoesToThePartitionThatTheJavaClientChooses(t *testing.T) {
	// The Java client takes toPositive(hash) % partitions; the hashes are what
	// its Utils.murmur2 gives for these keys.
	hashes := map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string":                    -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h8": 1171836447,
	}
	inBubble(t, oneTopic(100), func(b *bench) {
		p, told := b.publisher(broker.PublisherOptions{})
		for key := range hashes {
			b.publish(p, told, record("results", key, key))
		}
		mustClose(b.t, p)
		for key, hash := range hashes {
			partition := int(hash&0x7fffffff) % 100
			if got := b.read("results", partition); !slices.Equal(got, []string{key}) {
				b.t.Errorf("partition %d holds %q, want %q", partition, got, key)
			}
		}
	})
}

func TestRecordsWithoutKeySpread(t *testing.T) {
	inBubble(t, oneTopic(3), func(b *bench) {
		p, told := b.publisher(broker.PublisherOptions{})
		for i := range 9 {
			b.publish(p, told, decision.Record{Topic: "results", Value: fmt.Append(nil, i)})
			synctest.Wait()
			time.Sleep(time.Second)
		}
		mustClose(b.t, p)
		for partition := range 3 {
			if got := b.cluster.HighWatermark("results", partition); got != 3 {
				b.t.Errorf("partition %d holds %d records, want 3", partition, got)
			}
		}
	})
}

func TestRecordsPublishedTogetherShareRequests(t *testing.T) {
	inBubble(t, oneTopic(1), func(b *bench) {
		p, told := b.publisher(broker.PublisherOptions{MaxBatchRecords: 100})
		requests := b.countProduces()
		for i := range 250 {
			b.publish(p, told, record("results", "k", fmt.Sprint(i)))
		}
		mustClose(b.t, p)
		if got := requests(); got != 3 {
			b.t.Errorf("%d requests for 250 records in batches of 100, want 3", got)
		}
		if got := b.read("results", 0); !slices.Equal(got, numbers(0, 250)) {
			b.t.Errorf("read %q", got)
		}
	})
}

func TestRefusedBatchIsSentAgainInOrder(t *testing.T) {
	for _, code := range []kafka.Error{
		kafka.NotLeaderForPartition, kafka.NotEnoughReplicas, kafka.LeaderNotAvailable, kafka.TopicAuthorizationFailed,
	} {
		t.Run(code.Title(), func(t *testing.T) {
			inBubble(t, oneTopic(2), func(b *bench) {
				p, told := b.publisher(broker.PublisherOptions{MaxBatchRecords: 10})
				b.cluster.Inject(embedded.Fault{API: embedded.Produce, Code: int(code), Times: 7})
				for i := range 100 {
					b.publish(p, told, record("results", fmt.Sprint(i%5), fmt.Sprint(i)))
				}
				mustClose(b.t, p)
				if got := told.count(nil); got != 100 {
					b.t.Errorf("%d of 100 records done without error", got)
				}
				b.wantOrderPerKey("results", 2, 100)
				if states := told.saw(); len(states) != 2 || !strings.HasPrefix(states[0], "true publish to results/") || states[1] != "false <nil>" {
					b.t.Errorf("states %q, want failing once and well once", states)
				}
			})
		})
	}
}

func TestTimedOutBatchIsDeliveredAtLeastOnce(t *testing.T) {
	inBubble(t, oneTopic(1), func(b *bench) {
		p, told := b.publisher(broker.PublisherOptions{})
		b.cluster.Inject(embedded.Fault{API: embedded.Produce, Code: int(kafka.RequestTimedOut), Times: 1})
		b.publish(p, told, record("results", "k", "a"), record("results", "k", "b"))
		mustClose(b.t, p)
		if got := told.values(); !slices.Equal(got, []string{"a", "b"}) || told.count(nil) != 2 {
			b.t.Errorf("done %q, %d without error, want each once", got, told.count(nil))
		}
		// The broker stored the batch that it said had timed out.
		if got := b.read("results", 0); !slices.Equal(got, []string{"a", "b", "a", "b"}) {
			b.t.Errorf("stored %q", got)
		}
	})
}

func TestOneFailedAttemptIsNoFailure(t *testing.T) {
	inBubble(t, oneTopic(1), func(b *bench) {
		p, told := b.publisher(broker.PublisherOptions{})
		b.cluster.Inject(embedded.Fault{API: embedded.Produce, Code: int(kafka.NotLeaderForPartition), Times: 1})
		b.publish(p, told, record("results", "k", "a"))
		mustClose(b.t, p)
		if told.count(nil) != 1 || len(told.saw()) != 0 {
			b.t.Errorf("done %d, states %q, want 1 and none", told.count(nil), told.saw())
		}
	})
}

func TestRecordTooLargeIsRefusedAndItsNeighboursGoThrough(t *testing.T) {
	for name, test := range map[string]struct {
		topic   map[string]string
		options broker.PublisherOptions
	}{
		"by the topic":     {topic: map[string]string{"max.message.bytes": "20000"}},
		"by the publisher": {options: broker.PublisherOptions{MaxBatchBytes: 20000}},
		"by all there is":  {options: broker.PublisherOptions{MaxBatchBytes: 20000, MaxPendingBytes: 25000}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, embedded.Options{}, func(b *bench) {
				if err := b.cluster.CreateTopic("results", 1, test.topic); err != nil {
					b.t.Fatal(err)
				}
				p, told := b.publisher(test.options)
				var want []string
				for i := range 100 {
					value := fmt.Sprint(i)
					switch i {
					case 0, 41, 42, 99:
						value += strings.Repeat("x", 30000)
					default:
						want = append(want, value)
					}
					b.publish(p, told, record("results", "k", value))
				}
				mustClose(b.t, p)
				if got := told.count(decision.ErrTooLarge); got != 4 {
					b.t.Errorf("%d records too large, want 4", got)
				}
				if got := told.count(nil); got != 96 || len(told.values()) != 100 {
					b.t.Errorf("%d without error, %d in all, want 96 and 100", got, len(told.values()))
				}
				if got := b.read("results", 0); !slices.Equal(got, want) {
					b.t.Errorf("read %q", got)
				}
				if states := told.saw(); len(states) != 0 {
					b.t.Errorf("states %q, want none: a size is no failure of Kafka", states)
				}
			})
		})
	}
}

func TestLargestRecordFitsTheBrokersDefault(t *testing.T) {
	inBubble(t, oneTopic(1), func(b *bench) {
		p, told := b.publisher(broker.PublisherOptions{})
		b.publish(p, told, record("results", "k", strings.Repeat("x", 1<<20-200)))
		mustClose(b.t, p)
		if told.count(nil) != 1 {
			b.t.Errorf("outcome %v", told.outcomes)
		}
	})
}

func TestBrokersAwayForMinutesDelayRecordsAndLoseNone(t *testing.T) {
	inBubble(t, embedded.Options{Brokers: 3, Topics: map[string]int{"results": 4, "dead": 4}}, func(b *bench) {
		p, told := b.publisher(broker.PublisherOptions{})
		for i := range 100 {
			b.publish(p, told, record("results", fmt.Sprint(i%5), fmt.Sprint(i)))
		}
		time.Sleep(time.Minute)
		b.network.Cut()
		for i := 100; i < 200; i++ {
			b.publish(p, told, record("results", fmt.Sprint(i%5), fmt.Sprint(i)))
			b.publish(p, told, record("dead", fmt.Sprint(i%5), fmt.Sprint("dead", i)))
		}
		time.Sleep(10 * time.Minute)
		if got := told.count(nil); got != 100 {
			b.t.Errorf("%d done while the brokers are away, want the 100 before", got)
		}
		if got := told.saw(); len(got) != 1 || !strings.HasPrefix(got[0], "true") {
			b.t.Errorf("states while away: %q, want failing once", got)
		}
		b.network.Mend()
		back := time.Now()
		mustClose(b.t, p)
		if d := time.Since(back); d > 15*time.Second {
			b.t.Errorf("flushed %v after the brokers came back", d)
		}
		if got := told.count(nil); got != 300 {
			b.t.Errorf("%d done, want 300", got)
		}
		if got := told.saw(); len(got) != 2 || got[1] != "false <nil>" {
			b.t.Errorf("states %q, want failing once and well once", got)
		}
		b.wantOrderPerKey("results", 4, 200)
	})
}

func TestClusterThatIsAwayAtFirstIsWaitedFor(t *testing.T) {
	inBubble(t, oneTopic(1), func(b *bench) {
		b.network.Cut()
		p, told := b.publisher(broker.PublisherOptions{})
		b.publish(p, told, record("results", "k", "a"))
		time.Sleep(5 * time.Minute)
		b.network.Mend()
		mustClose(b.t, p)
		if told.count(nil) != 1 || len(told.saw()) != 2 {
			b.t.Errorf("done %d, states %q", told.count(nil), told.saw())
		}
	})
}

func TestMissingTopicIsWaitedForAndNamed(t *testing.T) {
	inBubble(t, oneTopic(1), func(b *bench) {
		p, told := b.publisher(broker.PublisherOptions{})
		b.publish(p, told, record("missing", "k", "a"), record("results", "k", "b"))
		time.Sleep(time.Minute)
		if got := told.values(); !slices.Equal(got, []string{"b"}) {
			b.t.Errorf("done %q, want the record for the topic that exists", got)
		}
		if got := told.saw(); len(got) != 1 || !strings.Contains(got[0], "publish to missing: ") || !strings.Contains(got[0], "does the topic exist?") {
			b.t.Errorf("states %q, want one that names the topic and the cause", got)
		}
		if err := b.cluster.CreateTopic("missing", 2, nil); err != nil {
			b.t.Fatal(err)
		}
		mustClose(b.t, p)
		if told.count(nil) != 2 {
			b.t.Errorf("%d done, want 2", told.count(nil))
		}
	})
}

func TestTopicMadeAnewWithFewerPartitionsTakesWhatWaited(t *testing.T) {
	inBubble(t, oneTopic(8), func(b *bench) {
		p, told := b.publisher(broker.PublisherOptions{})
		for i := range 80 {
			b.publish(p, told, record("results", fmt.Sprint(i%20), fmt.Sprint(i)))
		}
		time.Sleep(time.Minute)
		if err := b.cluster.DeleteTopic("results"); err != nil {
			b.t.Fatal(err)
		}
		for i := 80; i < 160; i++ {
			b.publish(p, told, record("results", fmt.Sprint(i%20), fmt.Sprint(i)))
		}
		time.Sleep(time.Minute)
		if err := b.cluster.CreateTopic("results", 2, nil); err != nil {
			b.t.Fatal(err)
		}
		mustClose(b.t, p)
		if told.count(nil) != 160 {
			b.t.Errorf("%d done, want 160", told.count(nil))
		}
		if got := len(b.read("results", 0)) + len(b.read("results", 1)); got != 80 {
			b.t.Errorf("%d records in the new topic, want 80", got)
		}
	})
}

func TestBrokerThatNeverAnswersIsTimedOut(t *testing.T) {
	inBubble(t, oneTopic(1), func(b *bench) {
		p, told := b.publisher(broker.PublisherOptions{})
		b.swallowProduce()
		begin := time.Now()
		b.publish(p, told, record("results", "k", "a"))
		mustClose(b.t, p)
		if d := time.Since(begin); told.count(nil) != 1 || d < 30*time.Second || d > 31*time.Second {
			b.t.Errorf("done %d after %v, want one after the request's 30s", told.count(nil), d)
		}
	})
}

func TestBrokerIsToldToWaitForReplicasLongEnough(t *testing.T) {
	inBubble(t, oneTopic(1), func(b *bench) {
		p, told := b.publisher(broker.PublisherOptions{})
		toldBroker := b.produceTimeouts()
		b.publish(p, told, record("results", "k", "a"))
		mustClose(b.t, p)
		// More than the 9s after which a cluster fences a dead broker.
		if got := toldBroker(); !slices.Equal(got, []time.Duration{15 * time.Second}) {
			b.t.Errorf("the broker was told %v, want half of the request's 30s", got)
		}
	})
}

func TestLeadersMoveUnderLoad(t *testing.T) {
	inBubble(t, embedded.Options{Brokers: 3, Topics: map[string]int{"results": 4}}, func(b *bench) {
		p, told := b.publisher(broker.PublisherOptions{})
		for i := range 1000 {
			b.publish(p, told, record("results", fmt.Sprint(i%5), fmt.Sprint(i)))
			time.Sleep(10 * time.Millisecond)
			if i%100 == 50 {
				b.cluster.MoveLeaders()
			}
		}
		mustClose(b.t, p)
		if told.count(nil) != 1000 {
			b.t.Errorf("%d done, want 1000", told.count(nil))
		}
		b.wantOrderPerKey("results", 4, 1000)
	})
}

func TestCloseFlushesWhatWasAccepted(t *testing.T) {
	inBubble(t, oneTopic(4), func(b *bench) {
		p, told := b.publisher(broker.PublisherOptions{})
		for i := range 1000 {
			b.publish(p, told, record("results", fmt.Sprint(i), fmt.Sprint(i)))
		}
		mustClose(b.t, p)
		if told.count(nil) != 1000 {
			b.t.Errorf("%d done after Close, want 1000", told.count(nil))
		}
		err := p.Publish(b.t.Context(), record("results", "k", "late"), told.done("late"))
		wantErrorIs(b.t, err, broker.ErrPublisherClosed)
		mustClose(b.t, p) // a second one does nothing
	})
}

func TestCloseGivesUpWhenItsContextEnds(t *testing.T) {
	inBubble(t, oneTopic(4), func(b *bench) {
		p, told := b.publisher(broker.PublisherOptions{})
		b.network.Cut()
		for i := range 100 {
			b.publish(p, told, record("results", fmt.Sprint(i), fmt.Sprint(i)))
		}
		ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
		defer cancel()
		begin := time.Now()
		err := p.Close(ctx)
		if err == nil || !strings.Contains(err.Error(), "100 records not published") {
			b.t.Errorf("close: %v", err)
		}
		wantErrorIs(b.t, err, context.DeadlineExceeded)
		if d := time.Since(begin); d != 20*time.Second {
			b.t.Errorf("closed after %v, want 20s", d)
		}
		if got := told.count(broker.ErrPublisherClosed); got != 100 || len(told.values()) != 100 {
			b.t.Errorf("%d of %d given up, want each of 100 once", got, len(told.values()))
		}
	})
}

func TestPublishBlocksWhileFullAndGoesOn(t *testing.T) {
	inBubble(t, oneTopic(1), func(b *bench) {
		p, told := b.publisher(broker.PublisherOptions{MaxPendingBytes: 10000, MaxBatchBytes: 5000})
		b.network.Cut()
		n := 0
		for {
			ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
			err := p.Publish(ctx, record("results", "k", fmt.Sprint(n)), told.done(fmt.Sprint(n)))
			cancel()
			if err != nil {
				wantErrorIs(b.t, err, context.DeadlineExceeded)
				break
			}
			n++
		}
		if n < 10 || n > 40 {
			b.t.Errorf("%d small records fill 10000 bytes", n)
		}
		accepted := make(chan struct{})
		go func() {
			defer close(accepted)
			b.publish(p, told, record("results", "k", fmt.Sprint(n)))
		}()
		time.Sleep(time.Minute)
		select {
		case <-accepted:
			b.t.Error("accepted beyond the bound")
		default:
		}
		b.network.Mend()
		<-accepted
		mustClose(b.t, p)
		if got := b.read("results", 0); !slices.Equal(got, numbers(0, n+1)) {
			b.t.Errorf("read %q", got)
		}
	})
}

func numbers(from, to int) []string {
	var s []string
	for i := from; i < to; i++ {
		s = append(s, fmt.Sprint(i))
	}
	return s
}
