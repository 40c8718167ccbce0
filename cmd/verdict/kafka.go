package main

import (
	"context"
	"net"

	"verdict/broker"
	"verdict/configs"
)

// dialFunc opens a connection; nil: TCP. Tests give a network in memory.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// connectKafka is the cluster that the configuration names, as every command
// reaches it. Nothing is dialed yet.
func connectKafka(cfg configs.Kafka, dial dialFunc) (*broker.Connection, error) {
	return broker.NewConnection(broker.Options{Brokers: cfg.Brokers, ClientID: cfg.ClientID, DialFunc: dial})
}
