package passfort_test

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"

	"verdict/configs"
	"verdict/internal/passfort"
)

const (
	profileID = "11111111-2222-3333-4444-555555555555"
	taskID    = "a2c4393a-e219-67a4-5ab4-2186952e9038"
	key       = "s3cret-key-of-the-test"
)

// options returns valid options with the default timeout of the configuration.
func options(baseURL string) passfort.Options {
	return passfort.Options{
		BaseURL: baseURL, Key: func() string { return key },
		Timeout: configs.Default().API.Timeout, MaxConnections: 64,
	}
}

// network is an in-memory listener, so that a server and a client can talk in a
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

// serve returns an in-memory client of h. Both end with the test.
func serve(t *testing.T, h http.Handler, change ...func(*passfort.Options)) *passfort.Client {
	t.Helper()
	n := newNetwork()
	server := &http.Server{Handler: h}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(n) })
	o := options("http://localhost/4.0")
	o.DialContext = n.DialContext
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

// respond answers every call with status and body.
func respond(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// raw returns a client of a server that need not speak HTTP: script gets each
// connection once the request was read.
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
	o := options("http://localhost/4.0")
	o.DialContext = n.DialContext
	client, err := passfort.New(o)
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
