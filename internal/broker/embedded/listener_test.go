package embedded_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"verdict/internal/broker/embedded"

	"github.com/segmentio/kafka-go"
)

// link is one client's way into a network.
type link struct {
	network *embedded.Network

	mu     sync.Mutex
	broken bool
	conns  []net.Conn
}

func (l *link) dial(ctx context.Context, network, address string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken {
		return nil, embedded.ErrCut
	}
	conn, err := l.network.DialContext(ctx, network, address)
	if err == nil {
		l.conns = append(l.conns, conn)
	}
	return conn, err
}

// cut breaks the client's connections and refuses new ones.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = true
	for _, conn := range l.conns {
		conn.Close()
	}
}

// A member whose connection breaks while it joins never learns its ID, so nothing
// can send its heartbeats or make it leave.
func TestMemberThatBreaksOffJoiningIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster, network, dialer := start(t, embedded.Options{Topics: map[string]int{"a": 2}})
		member := func(dialer *kafka.Dialer) *kafka.ConsumerGroup {
			t.Helper()
			group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
				ID: "g", Brokers: cluster.Addrs(), Dialer: dialer, Topics: []string{"a"},
				SessionTimeout: 10 * time.Second, HeartbeatInterval: time.Second,
			})
			if err != nil {
				t.Fatal(err)
			}
			return group
		}
		members := func() int { return len(cluster.Kfake().GroupInfo("g").Members) }

		remaining := member(dialer)
		var running sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		running.Go(func() {
			for ctx.Err() == nil {
				if gen, err := remaining.Next(ctx); err == nil {
					gen.Start(func(ctx context.Context) { <-ctx.Done() })
				}
			}
		})
		time.Sleep(time.Second)

		link := &link{network: network}
		leaving := member(&kafka.Dialer{Timeout: time.Second, DialFunc: link.dial})
		time.Sleep(100 * time.Millisecond)
		if n := members(); n != 2 {
			t.Fatalf("%d members, want 2, with the one that joins", n)
		}
		link.cut()

		time.Sleep(5 * time.Second)
		if n := members(); n != 2 {
			t.Errorf("%d members while the session lasts, want 2", n)
		}
		time.Sleep(10 * time.Second)
		if n := members(); n != 1 {
			t.Errorf("%d members when the session is over, want 1", n)
		}
		_ = leaving.Close()
		stop()
		_ = remaining.Close()
		running.Wait()
	})
}
