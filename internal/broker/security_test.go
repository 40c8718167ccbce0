package broker_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
)

// The host of an embedded cluster's addresses, in a bubble and on the loopback
// interface.
const clusterHost, loopback = "localhost", "127.0.0.1"

func newAuthority(t *testing.T) *embedded.Authority {
	t.Helper()
	a, err := embedded.NewAuthority("Test authority")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// writeFile writes a file into dir and returns its path.
func writeFile(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// issue writes a certificate that a issued, and its key, into dir.
func issue(t *testing.T, a *embedded.Authority, dir string, hosts ...string) (cert, key string) {
	t.Helper()
	c, k, err := a.Issue(time.Time{}, hosts...)
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, dir, "cert.pem", c), writeFile(t, dir, "key.pem", k)
}

func mustLogin(t *testing.T, mechanism, user string, password func() (string, error)) sasl.Mechanism {
	t.Helper()
	m, err := broker.NewLogin(mechanism, user, password)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func fixed(password string) func() (string, error) {
	return func() (string, error) { return password, nil }
}

// secureWorld returns a cluster in a bubble, without a connection to it.
func secureWorld(t *testing.T, o embedded.Options) (*embedded.Cluster, *embedded.Network) {
	t.Helper()
	network := new(embedded.Network)
	o.Listen = network.Listen
	return secureCluster(t, o), network
}

func secureCluster(t *testing.T, o embedded.Options) *embedded.Cluster {
	t.Helper()
	o.Topics = map[string]int{"results": 1}
	cluster, err := embedded.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster
}

func connectWith(t *testing.T, cluster *embedded.Cluster, network *embedded.Network, o broker.Options) *broker.Connection {
	t.Helper()
	o.Brokers = cluster.Addrs()
	if network != nil {
		o.DialFunc = network.DialContext
	}
	conn, err := broker.NewConnection(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// reach uses the connection in both ways that kafka-go does.
func reach(ctx context.Context, conn *broker.Connection) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if _, err := conn.Client().Metadata(ctx, &kafka.MetadataRequest{}); err != nil {
		return fmt.Errorf("by the transport: %w", err)
	}
	dialled, err := conn.Dialer().DialContext(ctx, "tcp", conn.Brokers()[0])
	if err != nil {
		return fmt.Errorf("by the dialer: %w", err)
	}
	defer dialled.Close()
	if _, err := dialled.ReadPartitions("results"); err != nil {
		return fmt.Errorf("by the dialer: %w", err)
	}
	return nil
}

// reachInTime repeats reach for up to a minute: kafka-go's transport repeats an
// error for some seconds.
func reachInTime(ctx context.Context, conn *broker.Connection) error {
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
		if err := reach(ctx, conn); err == nil || time.Now().After(end) {
			return err
		}
	}
}

func TestEveryCombinationOfTLSAndSASLWorks(t *testing.T) {
	authority, clients := newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	ca := writeFile(t, dir, "ca.pem", authority.PEM())
	cert, key := issue(t, clients, dir, "verdict")
	var users []embedded.User
	for _, m := range []string{broker.Plain, broker.ScramSHA256, broker.ScramSHA512} {
		users = append(users, embedded.User{Mechanism: m, Name: "user " + m, Password: "pass,word=" + m})
	}
	for _, encryption := range []struct {
		name   string
		mutual *embedded.Authority
		host   string
		files  *broker.TLSFiles
	}{
		{name: "plain text"},
		{name: "TLS", host: clusterHost, files: &broker.TLSFiles{CA: ca}},
		{name: "TLS with a server name", host: "kafka.internal", files: &broker.TLSFiles{CA: ca, ServerName: "kafka.internal"}},
		{name: "mutual TLS", host: clusterHost, mutual: clients, files: &broker.TLSFiles{CA: ca, Cert: cert, Key: key}},
	} {
		for _, mechanism := range []string{"", broker.Plain, broker.ScramSHA256, broker.ScramSHA512} {
			t.Run(encryption.name+" and "+mechanism, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var server embedded.Options
					var client broker.Options
					if encryption.files != nil {
						var err error
						if server.TLS, err = authority.Server(encryption.mutual, time.Time{}, encryption.host); err != nil {
							t.Fatal(err)
						}
						client.TLS = encryption.files.Config
					}
					if mechanism != "" {
						server.Users = users
						client.SASL = mustLogin(t, mechanism, "user "+mechanism, fixed("pass,word="+mechanism))
					}
					cluster, network := secureWorld(t, server)
					if err := reach(t.Context(), connectWith(t, cluster, network, client)); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}
