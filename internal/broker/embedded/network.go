package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
)

// ErrCut is the error of a dial while the Network is cut.
var ErrCut = errors.New("embedded: network is cut")

// firstPort is the first port that a Network assigns for port 0.
const firstPort = 20000

// Network is a network inside the process, for tests in a synctest bubble: a
// goroutine that waits for a real socket stops the bubble's clock, one that waits
// for this network does not. Servers listen on "localhost" or "127.0.0.1", on a
// port of their choice or on a free one (0). Clients dial the listener's address.
// It serves Kafka and HTTP alike. The zero value is ready to use; a Network must
// not be copied.
type Network struct {
	virtual kfake.VirtualNetwork

	mu    sync.Mutex
	next  int // the next port to try for port 0, minus firstPort
	cut   map[int]bool
	conns map[*networkConn]struct{} // the clients' halves of open connections
}

// allPorts stands for every port in Network.cut.
const allPorts = -1

// Listen opens a listener, like net.Listen.
func (n *Network) Listen(network, address string) (net.Listener, error) {
	port, err := portOf(address)
	if err != nil {
		return nil, fmt.Errorf("embedded: listen on %s: %w", address, err)
	}
	if port != 0 {
		return n.virtual.Listen(network, address)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		address = net.JoinHostPort("localhost", strconv.Itoa(firstPort+n.next))
		n.next++
		// The only error for such an address is that the port is in use.
		if l, err := n.virtual.Listen(network, address); err == nil {
			return l, nil
		}
	}
}

// DialContext connects to a listener, like net.Dialer's DialContext.
func (n *Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	port, err := portOf(address)
	if err != nil {
		return nil, fmt.Errorf("embedded: dial %s: %w", address, err)
	}
	if n.isCut(port) {
		return nil, fmt.Errorf("embedded: dial %s: %w", address, ErrCut)
	}
	conn, err := n.virtual.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &networkConn{Conn: conn, network: n, port: port}
	n.mu.Lock()
	defer n.mu.Unlock()
	// Checked again: a Cut since the first check has not seen this connection.
	if n.cut[allPorts] || n.cut[port] {
		conn.Close()
		return nil, fmt.Errorf("embedded: dial %s: %w", address, ErrCut)
	}
	if n.conns == nil {
		n.conns = make(map[*networkConn]struct{})
	}
	n.conns[c] = struct{}{}
	return c, nil
}

// Cut breaks every connection to these addresses and refuses new ones until Mend.
// Without addresses it cuts the whole network.
func (n *Network) Cut(addrs ...string) {
	n.mu.Lock()
	var broken []*networkConn
	if n.cut == nil {
		n.cut = make(map[int]bool)
	}
	for _, port := range portsOf(addrs) {
		n.cut[port] = true
		for c := range n.conns {
			if port == allPorts || c.port == port {
				broken = append(broken, c)
			}
		}
	}
	n.mu.Unlock()
	for _, c := range broken {
		_ = c.Close() // closing a pipe in memory loses nothing
	}
}

// Mend undoes the Cut of these addresses. Without addresses it undoes every Cut.
func (n *Network) Mend(addrs ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, port := range portsOf(addrs) {
		if port == allPorts {
			clear(n.cut)
		}
		delete(n.cut, port)
	}
}

func (n *Network) isCut(port int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cut[allPorts] || n.cut[port]
}

// portsOf returns the ports of addresses, or allPorts if there are none. An
// address without a port is a bug in the test.
func portsOf(addrs []string) []int {
	if len(addrs) == 0 {
		return []int{allPorts}
	}
	ports := make([]int, len(addrs))
	for i, addr := range addrs {
		port, err := portOf(addr)
		if err != nil {
			panic(fmt.Sprintf("embedded: address %q: %v", addr, err))
		}
		ports[i] = port
	}
	return ports
}

// networkConn is the client's half of a connection. Its Network knows it until it
// is closed.
type networkConn struct {
	net.Conn
	network *Network
	port    int
}

// Close closes both halves.
func (c *networkConn) Close() error {
	c.network.mu.Lock()
	delete(c.network.conns, c)
	c.network.mu.Unlock()
	return c.Conn.Close()
}
