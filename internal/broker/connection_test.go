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

func TestNewConnectionRefusesBadOptions(t *testing.T) {
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

// In these tests the bubble checks that Close leaves no goroutine behind.

func TestConnectionCloseEndsIdleConnections(t *testing.T) {
	inWorld(t, oneTopic(1), func(w *world) {
		if _, err := w.conn.Client().Metadata(w.t.Context(), &kafka.MetadataRequest{}); err != nil {
			w.t.Fatal(err)
		}
	})
}

func TestConnectionCloseEndsARequestWithoutAnswer(t *testing.T) {
	inWorld(t, oneTopic(1), func(w *world) {
		w.swallowProduce()
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Hour)
		defer cancel()
		failed := make(chan error)
		go func() {
			_, err := w.conn.Client().Produce(ctx, &kafka.ProduceRequest{
				Topic: "results", RequiredAcks: kafka.RequireAll,
				Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte("x"))}),
			})
			failed <- err
		}()
		synctest.Wait()
		w.conn.Close()
		if err := <-failed; err == nil {
			w.t.Error("the request without an answer succeeded")
		}
		// A closed connection dials no more, and says so whether or not the dial was quicker.
		for range 1000 {
			_, err := w.conn.Dialer().DialContext(w.t.Context(), "tcp", w.conn.Brokers()[0])
			wantErrorIs(w.t, err, broker.ErrConnectionClosed)
		}
	})
}

// silentPort opens a port that answers nothing, and a connection to it.
func silentPort(t *testing.T, dialTimeout time.Duration) (net.Listener, *broker.Connection) {
	t.Helper()
	network := new(embedded.Network)
	l, err := network.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	conn, err := broker.NewConnection(broker.Options{
		Brokers: []string{l.Addr().String()}, DialFunc: network.DialContext, DialTimeout: dialTimeout,
	})
	if err != nil {
		t.Fatal(err)
	}
	return l, conn
}

func TestConnectionCloseEndsADialInProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, conn := silentPort(t, time.Hour) // nothing accepts
		failed := make(chan error)
		go func() {
			_, err := conn.Client().Metadata(t.Context(), &kafka.MetadataRequest{})
			failed <- err
		}()
		synctest.Wait()
		conn.Close()
		if err := <-failed; err == nil {
			t.Error("Metadata succeeded without a cluster")
		}
	})
}

func TestConnectionCloseEndsWaitingForASilentBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, conn := silentPort(t, 0)
		go conn.Client().Metadata(t.Context(), &kafka.MetadataRequest{})
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer accepted.Close()
		synctest.Wait()
		conn.Close()
	})
}

func TestDialFuncServesDialerAndTransport(t *testing.T) {
	inWorld(t, oneTopic(3), func(w *world) {
		conn, err := w.conn.Dialer().DialContext(w.t.Context(), "tcp", w.conn.Brokers()[0])
		if err != nil {
			w.t.Fatal(err)
		}
		defer conn.Close()
		partitions, err := conn.ReadPartitions("results")
		if err != nil || len(partitions) != 3 {
			w.t.Errorf("by the dialer: %d partitions, %v, want 3", len(partitions), err)
		}
		counts, missing, err := broker.Partitions(w.t.Context(), w.conn.Client(), "results", "none")
		if err != nil || counts["results"] != 3 || len(missing) != 1 || missing[0] != "none" {
			w.t.Errorf("by the transport: %v, missing %v, %v", counts, missing, err)
		}
	})
}

func TestGroupUsesTheConnection(t *testing.T) {
	inWorld(t, oneTopic(1), func(w *world) {
		group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
			ID: "g", Brokers: w.conn.Brokers(), Dialer: w.conn.Dialer(), Topics: []string{"results"},
		})
		if err != nil {
			w.t.Fatal(err)
		}
		defer group.Close()
		generation, err := group.Next(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if got := generation.Assignments["results"]; len(got) != 1 {
			w.t.Errorf("assigned %v, want one partition", generation.Assignments)
		}
	})
}

func TestDialerKeepsTheNetworkError(t *testing.T) {
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
