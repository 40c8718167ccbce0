package broker_test

import (
	"net"
	"strings"
	"testing"

	"verdict/internal/broker"
)

func TestErrorHintsAtAWrongAddress(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close() // nothing listens there now
	conn, err := broker.NewConnection(broker.Options{Brokers: []string{listener.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _, err = broker.Partitions(t.Context(), conn.Client(), "a")
	if err == nil || !strings.Contains(err.Error(), "are the brokers up, and are their addresses and TLS right?") {
		t.Errorf("error %v has no hint", err)
	}
}
