package broker_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"

	"github.com/segmentio/kafka-go"
)

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	for name, o := range map[string]broker.Options{
		"no brokers":          {},
		"broker without port": {Brokers: []string{"localhost:9092", "localhost"}},
		"negative timeout":    {Brokers: []string{"localhost:9092"}, DialTimeout: -1},
	} {
		if _, err := broker.NewConnection(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// The bubble checks that nothing of these is left behind by Close.
func TestCloseLeavesNoGoroutine(t *testing.T) {
	metadata := func(ctx context.Context, b *bench) error {
		_, err := b.conn.Client().Metadata(ctx, &kafka.MetadataRequest{})
		return err
	}
	t.Run("with idle connections", func(t *testing.T) {
		inBubble(t, oneTopic(1), func(b *bench) {
			if err := metadata(b.t.Context(), b); err != nil {
				b.t.Fatal(err)
			}
		})
	})
	t.Run("with a request that has no answer", func(t *testing.T) {
		inBubble(t, oneTopic(1), func(b *bench) {
			b.swallowProduce()
			ctx, cancel := context.WithTimeout(b.t.Context(), time.Hour)
			defer cancel()
			failed := make(chan error)
			go func() {
				_, err := b.conn.Client().Produce(ctx, &kafka.ProduceRequest{
					Topic: "results", RequiredAcks: kafka.RequireAll,
					Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte("x"))}),
				})
				failed <- err
			}()
			synctest.Wait()
			b.conn.Close()
			if err := <-failed; err == nil {
				b.t.Error("the request without answer succeeded")
			}
			// Once closed, it dials no more.
			_, err := b.conn.Dialer().DialContext(b.t.Context(), "tcp", b.conn.Brokers()[0])
			wantErrorIs(b.t, err, broker.ErrConnectionClosed)
		})
	})
	t.Run("with a dial under way", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			network := new(embedded.Network)
			l, err := network.Listen("tcp", "localhost:0") // accepts nobody
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			conn, err := broker.NewConnection(broker.Options{
				Brokers: []string{l.Addr().String()}, DialFunc: network.DialContext, DialTimeout: time.Hour,
			})
			if err != nil {
				t.Fatal(err)
			}
			failed := make(chan error)
			go func() {
				_, err := conn.Client().Metadata(t.Context(), &kafka.MetadataRequest{})
				failed <- err
			}()
			synctest.Wait()
			conn.Close()
			if err := <-failed; err == nil {
				t.Error("metadata of a cluster that is not there")
			}
		})
	})
	t.Run("with a broker that accepts and says nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			network := new(embedded.Network)
			l, err := network.Listen("tcp", "localhost:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			conn, err := broker.NewConnection(broker.Options{
				Brokers: []string{l.Addr().String()}, DialFunc: network.DialContext,
			})
			if err != nil {
				t.Fatal(err)
			}
			go conn.Client().Metadata(t.Context(), &kafka.MetadataRequest{})
			accepted, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer accepted.Close()
			synctest.Wait()
			conn.Close()
		})
	})
}

func TestDialFuncServesBothWaysOfKafkaGo(t *testing.T) {
	inBubble(t, oneTopic(3), func(b *bench) {
		conn, err := b.conn.Dialer().DialContext(b.t.Context(), "tcp", b.conn.Brokers()[0])
		if err != nil {
			b.t.Fatal(err)
		}
		defer conn.Close()
		partitions, err := conn.ReadPartitions("results")
		if err != nil || len(partitions) != 3 {
			b.t.Errorf("by the dialer: %d partitions, %v, want 3", len(partitions), err)
		}
		counts, missing, err := broker.Partitions(b.t.Context(), b.conn.Client(), "results", "none")
		if err != nil || counts["results"] != 3 || len(missing) != 1 || missing[0] != "none" {
			b.t.Errorf("by the transport: %v, missing %v, %v", counts, missing, err)
		}
	})
}

func TestGroupAndReaderUseTheConnection(t *testing.T) {
	inBubble(t, oneTopic(1), func(b *bench) {
		group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
			ID: "g", Brokers: b.conn.Brokers(), Dialer: b.conn.Dialer(), Topics: []string{"results"},
		})
		if err != nil {
			b.t.Fatal(err)
		}
		defer group.Close()
		generation, err := group.Next(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		if got := generation.Assignments["results"]; len(got) != 1 {
			b.t.Errorf("assigned %v, want one partition", generation.Assignments)
		}
	})
}

func TestNetworkErrorSurvivesTheDialer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	conn, err := broker.NewConnection(broker.Options{Brokers: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = conn.Dialer().DialContext(t.Context(), "tcp", addr)
	if _, ok := errors.AsType[*net.OpError](err); !ok {
		t.Errorf("dial of a closed port: %v, want a net.OpError", err)
	}
}
