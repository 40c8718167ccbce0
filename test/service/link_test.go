package service_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"verdict/internal/broker/embedded"
)

// link is one member's way to Kafka, which can be cut for it alone.
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

// cut breaks what is open and lets nothing be opened, until mend.
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

// watchCommits looks at every commit, again and again until the test ends, for
// one that goes back.
func (w *world) watchCommits() {
	stop, done := make(chan struct{}), make(chan struct{})
	w.watching = append(w.watching, func() { close(stop); <-done })
	go func() {
		defer close(done)
		last := make(map[place]int64)
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
			case <-stop:
				return
			}
			for _, topic := range []string{w.cfg.Kafka.Topics.Decisions, w.cfg.Kafka.Topics.Backfill} {
				for p := range partitions {
					at, _, _ := w.kafka.Committed(w.cfg.Kafka.GroupID, topic, p)
					if key := (place{topic, p}); at < last[key] {
						w.t.Errorf("%s/%d: the commit went back from %d to %d", topic, p, last[key], at)
					} else {
						last[key] = at
					}
				}
			}
		}
	}()
}

// logLines are the lines of the log so far that contain a text.
func (w *world) logLines(text string) (lines []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for line := range strings.Lines(w.logs.String()) {
		if strings.Contains(line, text) {
			lines = append(lines, line)
		}
	}
	return lines
}

// hostPort takes an address apart.
func hostPort(t *testing.T, addr string) (host string, port int) {
	t.Helper()
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	if port, err = strconv.Atoi(text); err != nil {
		t.Fatal(err)
	}
	return host, port
}
