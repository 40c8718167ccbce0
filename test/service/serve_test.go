package service_test

import (
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"
)

// serve serves h on a listener until stop is called.
func serve(t testing.TB, listener net.Listener, h http.Handler) (stop func()) {
	server := &http.Server{Handler: h}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return func() {
		_ = server.Close()
		serving.Wait()
	}
}

// listenTCP listens on a free port of the loopback interface.
func listenTCP(t testing.TB) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}
