package service_test

import (
	"context"
	"errors"
	"net"
	"sync"

	"verdict/internal/broker/embedded"
)

// link is one member's way to Kafka, which can be cut for that member alone.
type link struct {
	network *embedded.Network

	mu    sync.Mutex
	down  bool
	conns []net.Conn
}

var errLinkDown = errors.New("the link is down")

func (l *link) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return nil, errLinkDown
	}
	conn, err := l.network.DialContext(ctx, network, address)
	if err == nil {
		l.conns = append(l.conns, conn)
	}
	return conn, err
}

// cut breaks every open connection and refuses new ones until mend.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
	for _, conn := range l.conns {
		_ = conn.Close()
	}
	l.conns = nil
}

func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = false
}
