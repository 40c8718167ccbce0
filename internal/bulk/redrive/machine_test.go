package redrive_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/bulk/bulktest"
	"verdict/internal/bulk/redrive"
)

// machine is a computer on which a redrive runs, with a way to Kafka of its own. What
// happens to it happens at one of its requests.
type machine struct {
	b    *bulktest.Kafka
	conn *broker.Connection

	mu       sync.Mutex
	requests int
	at       int                         // the request at which it happens; 0: never
	counted  func(api embedded.API) bool // nil: all requests are
	hit      embedded.API                // what that request was
	before   func(net.Conn)
	after    func(net.Conn)
	conns    []net.Conn
	dead     bool
	asleep   bool
	kept     []kept // while it is asleep
}

// kept is what a machine that is asleep has not sent yet.
type kept struct {
	conn net.Conn
	data []byte
}

var errDead = errors.New("the machine is dead")

// newMachine returns a machine. The caller closes its connection.
func newMachine(b *bulktest.Kafka) *machine {
	b.Helper()
	m := &machine{b: b}
	var err error
	if m.conn, err = broker.NewConnection(broker.Options{Brokers: b.Cluster.Addrs(), DialFunc: m.dial}); err != nil {
		b.Fatal(err)
	}
	return m
}

func (m *machine) options() redrive.Options {
	o := by(m.b, "machine")
	o.Ledger.Connection = m.conn
	return o
}

func (m *machine) dial(ctx context.Context, network, address string) (net.Conn, error) {
	m.mu.Lock()
	dead := m.dead
	m.mu.Unlock()
	if dead {
		return nil, errDead
	}
	conn, err := m.b.Network.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conns = append(m.conns, conn)
	return &machineConn{conn, m}, nil
}

// die breaks every connection for good, as kill -9 does.
func (m *machine) die(net.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
	for _, conn := range m.conns {
		_ = conn.Close()
	}
}

// unplug keeps the machine from reaching Kafka for two minutes, longer than a run waits for
// the answer to a commit.
func (m *machine) unplug(conn net.Conn) {
	m.die(conn)
	time.AfterFunc(2*time.Minute, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.dead = false
	})
}

// sleep keeps back all that is sent until wake. A Write does not block meanwhile: somebody
// may wait for it in a way that keeps the bubble's time from passing.
func (m *machine) sleep(net.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asleep = true
}

// wake sends what was kept back, in its order.
func (m *machine) wake() {
	for {
		m.mu.Lock()
		late := m.kept
		m.kept = nil
		m.asleep = len(late) > 0
		m.mu.Unlock()
		if len(late) == 0 {
			return
		}
		for _, k := range late {
			_, _ = k.conn.Write(k.data)
		}
	}
}

// has reports whether as many requests were made.
func (m *machine) has(requests int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.requests >= requests
}

type machineConn struct {
	net.Conn
	m *machine
}

// count counts a request, and reports whether it is the one at which something happens.
func (m *machine) count(request []byte) bool {
	api := embedded.API(-1)
	if size := 4; len(request) >= size+2 {
		api = embedded.API(binary.BigEndian.Uint16(request[size:])) // after the request's size
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.counted != nil && !m.counted(api) {
		return false
	}
	if m.requests++; m.requests != m.at {
		return false
	}
	m.hit = api
	return true
}

// isStep reports whether a request is a step of a transaction.
func isStep(api embedded.API) bool {
	return slices.Contains([]embedded.API{embedded.InitProducerID, embedded.AddPartitionsToTxn, embedded.Produce, embedded.EndTxn}, api)
}

// Write sends a request.
func (c *machineConn) Write(b []byte) (int, error) {
	now := c.m.count(b)
	if now && c.m.before != nil {
		c.m.before(c.Conn)
	}
	c.m.mu.Lock()
	if c.m.asleep {
		c.m.kept = append(c.m.kept, kept{c.Conn, bytes.Clone(b)})
		c.m.mu.Unlock()
		return len(b), nil
	}
	c.m.mu.Unlock()
	n, err := c.Conn.Write(b)
	if now && c.m.after != nil {
		c.m.after(c.Conn)
	}
	return n, err
}
