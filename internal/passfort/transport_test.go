package passfort_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

func TestConnectionsAreReusedAfterFailures(t *testing.T) {
	box := newSandbox(t, sandbox.Options{RejectRate: 1})
	var opened atomic.Int32
	client := serve(t, box, func(o *passfort.Options) {
		dial := o.DialContext
		o.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			opened.Add(1)
			return dial(ctx, network, address)
		}
	})
	for range 20 {
		_, _, err := client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass)
		failure(t, err, passfort.KindNotFound, false)
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections for 20 calls", n)
	}
}

func TestClientUsesHTTP2(t *testing.T) {
	var proto atomic.Value
	var cut atomic.Bool
	box := newSandbox(t, sandbox.Options{Fault: func(sandbox.Call) sandbox.Fault {
		if cut.Load() {
			return sandbox.Fault{Do: sandbox.Cut}
		}
		return sandbox.Fault{}
	}})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proto.Store(r.Proto)
		box.ServeHTTP(w, r)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	client, err := passfort.New(options(server.URL + "/4.0"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	client.Trust(server.Certificate())
	if _, _, err := client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass); err != nil || proto.Load() != "HTTP/2.0" {
		t.Errorf("%v %v", proto.Load(), err)
	}
	box.SetKey("another")
	_, _, err = client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass)
	failure(t, err, passfort.KindKey, false)
	box.SetKey(key)
	cut.Store(true)
	_, _, err = client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass)
	failure(t, err, passfort.KindConnection, true)
}

func TestClientReplacesClosedIdleConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newSandbox(t, sandbox.Options{})
		n := newNetwork()
		server := &http.Server{Handler: box, IdleTimeout: time.Second}
		go func() { _ = server.Serve(n) }()
		defer server.Close()
		o := options("http://localhost/4.0")
		o.DialContext = n.DialContext
		client, err := passfort.New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		for range 5 {
			if _, _, err := client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass); err != nil {
				t.Error(err)
			}
			time.Sleep(2 * time.Second)
		}
		if n := box.Completions(profileID, taskID); n != 5 {
			t.Errorf("%d completions of 5", n)
		}
	})
}
