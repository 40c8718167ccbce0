package passfort_test

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"

	"verdict/internal/passfort"
)

const (
	profileID = "11111111-2222-3333-4444-555555555555"
	taskID    = "a2c4393a-e219-67a4-5ab4-2186952e9038"
	key       = "s3cret-key-of-the-test"
)

// network is a listener in memory, so that a server and a client can talk in a
// synctest bubble.
type network struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newNetwork() *network {
	return &network{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (n *network) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case n.conns <- there:
		return here, nil
	case <-n.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.conns:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error   { n.once.Do(func() { close(n.closed) }); return nil }
func (n *network) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

// serve is a client of h, in memory. Both end with the test.
func serve(t *testing.T, h http.Handler, change ...func(*passfort.Options)) *passfort.Client {
	t.Helper()
	n := newNetwork()
	server := &http.Server{Handler: h}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(n) })
	o := passfort.Options{BaseURL: "http://localhost/4.0", Key: func() string { return key }, DialContext: n.DialContext}
	for _, c := range change {
		c(&o)
	}
	client, err := passfort.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		_ = server.Close()
		wg.Wait()
	})
	return client
}

// respond answers everything with status and body.
func respond(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// raw is a client of a server that is no HTTP server: script has each connection
// once the whole request was read.
func raw(t *testing.T, script func(net.Conn)) *passfort.Client {
	t.Helper()
	n := newNetwork()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := n.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				buf := make([]byte, 8<<10)
				if _, err := conn.Read(buf); err == nil {
					script(conn)
				}
			})
		}
	})
	client, err := passfort.New(passfort.Options{
		BaseURL: "http://localhost/4.0", Key: func() string { return key }, DialContext: n.DialContext,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		_ = n.Close()
		wg.Wait()
	})
	return client
}
