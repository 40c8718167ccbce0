package embedded_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"verdict/internal/broker/embedded"

	"github.com/segmentio/kafka-go"
)

// start starts a cluster on a network of its own. The dialer keeps no
// connections.
func start(t *testing.T, o embedded.Options) (*embedded.Cluster, *embedded.Network, *kafka.Dialer) {
	t.Helper()
	network := new(embedded.Network)
	o.Listen = network.Listen
	cluster, err := embedded.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster, network, &kafka.Dialer{DialFunc: network.DialContext, Timeout: time.Second}
}

func TestClusterReturnsRecordsInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster, _, dialer := start(t, embedded.Options{Topics: map[string]int{"a": 2}})
		conn, err := dialer.DialLeader(t.Context(), "tcp", cluster.Addrs()[0], "a", 1)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.WriteMessages(kafka.Message{Value: []byte("x")}, kafka.Message{Value: []byte("y")}); err != nil {
			t.Fatal(err)
		}
		if got := cluster.HighWatermark("a", 1); got != 2 {
			t.Errorf("high watermark %d, want 2", got)
		}
		if _, err := conn.Seek(1, kafka.SeekAbsolute); err != nil {
			t.Fatal(err)
		}
		m, err := conn.ReadMessage(1 << 20)
		if err != nil || string(m.Value) != "y" {
			t.Errorf("read %q, %v, want y", m.Value, err)
		}
	})
}

func TestBrokersHaveDifferentAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster, _, dialer := start(t, embedded.Options{Brokers: 3, Topics: map[string]int{"a": 1}})
		seen := map[string]bool{}
		for _, addr := range cluster.Addrs() {
			seen[addr] = true
			conn, err := dialer.DialContext(t.Context(), "tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
		}
		if len(seen) != 3 {
			t.Errorf("addresses %v, want three different ones", seen)
		}
	})
}

func TestStopBrokerBreaksItsConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster, network, _ := start(t, embedded.Options{Brokers: 2})
		addrs := cluster.Addrs()
		stopped, other := dial(t, network, addrs[0]), dial(t, network, addrs[1])
		synctest.Wait() // accepted
		if err := cluster.StopBroker(0); err != nil {
			t.Fatal(err)
		}
		if _, err := stopped.Read(make([]byte, 1)); err == nil || isTimeout(err) {
			t.Errorf("read from a stopped broker: %v, want the connection broken", err)
		}
		other.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := other.Read(make([]byte, 1)); !isTimeout(err) {
			t.Errorf("a connection to the other broker: %v, want a time-out", err)
		}
	})
}

func TestClusterListensOnTheLoopbackInterface(t *testing.T) {
	cluster, err := embedded.Start(embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	conn, err := kafka.DialContext(t.Context(), "tcp", cluster.Addrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestStartRefusesTopicWithoutPartitions(t *testing.T) {
	if _, err := embedded.Start(embedded.Options{Topics: map[string]int{"a": 0}}); err == nil {
		t.Error("Start accepted it")
	}
}

func TestNetworkCutBreaksConnectionsUntilMend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := new(embedded.Network)
		one, two := listen(t, network), listen(t, network)
		conn := dial(t, network, one)
		other := dial(t, network, two)

		network.Cut(one)
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("a connection survived the cut")
		}
		if _, err := network.DialContext(t.Context(), "tcp", one); !errors.Is(err, embedded.ErrCut) {
			t.Errorf("dial while cut: %v, want ErrCut", err)
		}
		other.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := other.Read(make([]byte, 1)); !isTimeout(err) {
			t.Errorf("a connection to another address: %v, want a time-out", err)
		}

		network.Cut()
		if _, err := network.DialContext(t.Context(), "tcp", two); !errors.Is(err, embedded.ErrCut) {
			t.Errorf("dial while all is cut: %v, want ErrCut", err)
		}
		network.Mend()
		dial(t, network, one).Close()
		dial(t, network, two).Close()
	})
}

func TestNetworkCarriesHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := new(embedded.Network)
		l, err := network.Listen("tcp", "localhost:0")
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Hour) // by the bubble's clock
			io.WriteString(w, "late")
		})}
		go server.Serve(l)
		defer server.Close()
		transport := &http.Transport{DialContext: network.DialContext}
		defer transport.CloseIdleConnections()

		begin := time.Now()
		res, err := (&http.Client{Transport: transport}).Get("http://" + l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil || string(body) != "late" || time.Since(begin) != time.Hour {
			t.Errorf("%q after %v, %v, want late after 1h", body, time.Since(begin), err)
		}
	})
}

func TestInjectFailsAsManyRequestsAsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster, network, _ := start(t, embedded.Options{Topics: map[string]int{"a": 1}})
		fault := cluster.Inject(embedded.Fault{
			API: embedded.Produce, Topic: "a", Code: int(kafka.NotLeaderForPartition), Times: 2,
		})
		transport := &kafka.Transport{Dial: network.DialContext}
		defer transport.CloseIdleConnections()
		client := &kafka.Client{Addr: kafka.TCP(cluster.Addrs()...), Transport: transport}
		for i, want := range []error{kafka.NotLeaderForPartition, kafka.NotLeaderForPartition, nil} {
			res, err := client.Produce(t.Context(), &kafka.ProduceRequest{
				Topic: "a", RequiredAcks: kafka.RequireAll,
				Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte("x"))}),
			})
			if err != nil {
				t.Fatal(err)
			}
			if !errors.Is(res.Error, want) {
				t.Errorf("produce %d: %v, want %v", i, res.Error, want)
			}
		}
		if fault.Hits() != 2 {
			t.Errorf("%d hits, want 2", fault.Hits())
		}
	})
}

func listen(t *testing.T, network *embedded.Network) string {
	t.Helper()
	l, err := network.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 10)
	go func() {
		defer close(accepted)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	t.Cleanup(func() {
		l.Close()
		for conn := range accepted {
			conn.Close()
		}
	})
	return l.Addr().String()
}

func dial(t *testing.T, network *embedded.Network, addr string) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	conn, err := network.DialContext(ctx, "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
