package integration

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// proxy is a TCP proxy that can stall, delay and reset connections. toxiproxy would bring
// an HTTP server, a router and a logger for these hundred lines, and the embedded Kafka
// must listen behind the proxy and advertise its address.
type proxy struct {
	front  net.Listener
	target string
	wg     sync.WaitGroup

	mu     sync.Mutex
	closed bool
	down   bool          // new connections are reset
	delay  time.Duration // of each chunk
	stall  chan struct{} // closed when the stall ends; nil if nothing stalls
	conns  map[*net.TCPConn]struct{}
}

// newProxy returns a proxy that listens on address and connects to target.
func newProxy(address, target string) (*proxy, error) {
	front, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	p := &proxy{front: front, target: target, conns: make(map[*net.TCPConn]struct{})}
	p.wg.Go(p.serve)
	return p, nil
}

func (p *proxy) addr() string { return p.front.Addr().String() }

func (p *proxy) serve() {
	for {
		client, err := p.front.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.connect(client.(*net.TCPConn)) })
	}
}

// connect carries a client's connection to the target.
func (p *proxy) connect(client *net.TCPConn) {
	if !p.keep(client) {
		return
	}
	defer p.drop(client)
	conn, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	server := conn.(*net.TCPConn)
	if !p.keep(server) {
		return
	}
	defer p.drop(server)
	var both sync.WaitGroup
	both.Go(func() { p.pump(server, client) })
	both.Go(func() { p.pump(client, server) })
	both.Wait()
}

// pump copies one direction until either side closes.
func (p *proxy) pump(to, from *net.TCPConn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			p.hold()
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			if err != io.EOF {
				_ = to.SetLinger(0) // pass a reset on as a reset
			}
			return
		}
	}
}

// hold delays a chunk as set.
func (p *proxy) hold() {
	p.mu.Lock()
	delay, stall := p.delay, p.stall
	p.mu.Unlock()
	if delay > 0 {
		time.Sleep(delay)
	}
	if stall != nil {
		<-stall
	}
}

// keep registers a connection, or resets it if the proxy is down.
func (p *proxy) keep(c *net.TCPConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down || p.closed {
		_ = c.SetLinger(0)
		_ = c.Close()
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

// drop closes and forgets a connection.
func (p *proxy) drop(c *net.TCPConn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// reset breaks every connection with a RST. With down, it also breaks new ones, until
// restore.
func (p *proxy) reset(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
	for c := range p.conns {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
}

// slow delays every chunk by d.
func (p *proxy) slow(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// freeze stalls every connection until restore.
func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stall == nil {
		p.stall = make(chan struct{})
	}
}

// restore ends all faults.
func (p *proxy) restore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down, p.delay = false, 0
	if p.stall != nil {
		close(p.stall)
		p.stall = nil
	}
}

func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.front.Close()
	p.restore()
	p.reset(false)
	p.wg.Wait()
}

// proxied is a listener behind a proxy. Its Addr is the proxy's, which a broker on it
// therefore advertises.
type proxied struct {
	net.Listener
	proxy *proxy
}

// listenBehindProxy listens behind a new proxy on address and passes the proxy to keep.
func listenBehindProxy(network, address string, keep func(*proxy)) (net.Listener, error) {
	back, err := net.Listen(network, "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	front, err := newProxy(address, back.Addr().String())
	if err != nil {
		_ = back.Close()
		return nil, err
	}
	keep(front)
	return &proxied{back, front}, nil
}

func (l *proxied) Addr() net.Addr { return l.proxy.front.Addr() }

func (l *proxied) Close() error {
	err := l.Listener.Close()
	l.proxy.close()
	return err
}

func TestProxyStallsDelaysAndResets(t *testing.T) {
	back, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	go func() {
		for {
			c, err := back.Accept()
			if err != nil {
				return
			}
			go io.Copy(c, c)
		}
	}()
	p, err := newProxy("127.0.0.1:0", back.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	c, err := net.Dial("tcp", p.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	echo := func() (time.Duration, error) {
		start := time.Now()
		if _, err := c.Write([]byte("x")); err != nil {
			return 0, err
		}
		_, err := io.ReadFull(c, make([]byte, 1))
		return time.Since(start), err
	}
	if _, err := echo(); err != nil {
		t.Fatal(err)
	}
	p.slow(30 * time.Millisecond)
	if took, err := echo(); err != nil || took < 60*time.Millisecond {
		t.Errorf("slow: %v, %v", took, err)
	}
	p.restore()
	p.freeze()
	time.AfterFunc(100*time.Millisecond, p.restore)
	if took, err := echo(); err != nil || took < 100*time.Millisecond {
		t.Errorf("frozen: %v, %v", took, err)
	}
	p.reset(true)
	if _, err := echo(); err == nil {
		t.Error("the connection survived the reset")
	}
}
