package broker_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
)

// clusterHost is the host of an embedded cluster's addresses: in a bubble and
// on the loopback interface.
const clusterHost, loopback = "localhost", "127.0.0.1"

func newAuthority(t *testing.T) *embedded.Authority {
	t.Helper()
	a, err := embedded.NewAuthority("Test authority")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// writeFile writes a file of this name into dir and gives its path.
func writeFile(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// issue writes a certificate of a's making and its key into dir.
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

// reach uses the connection in both of kafka-go's ways.
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

// secureBench is a cluster in a bubble, without a connection to it.
func secureBench(t *testing.T, o embedded.Options) (*embedded.Cluster, *embedded.Network) {
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

// reachInTime is reach, as soon as it works within a minute: kafka-go's
// transport repeats an error for some seconds.
func reachInTime(ctx context.Context, conn *broker.Connection) error {
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
		if err := reach(ctx, conn); err == nil || time.Now().After(end) {
			return err
		}
	}
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

// Every way to encrypt with every way to log in.
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
					cluster, network := secureBench(t, server)
					if err := reach(t.Context(), connectWith(t, cluster, network, client)); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

func TestWhatIsNotTrustedIsNotTalkedTo(t *testing.T) {
	authority, other := newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	ca := writeFile(t, dir, "ca.pem", authority.PEM())
	cert, key := issue(t, other, dir, "verdict")
	for _, c := range []struct {
		name   string
		host   string
		until  time.Time
		mutual *embedded.Authority
		files  broker.TLSFiles
		want   string
	}{
		{name: "authority", host: loopback, files: broker.TLSFiles{CA: writeFile(t, dir, "other.pem", other.PEM())}, want: "unknown authority"},
		{name: "system's authorities", host: loopback, want: "unknown authority"},
		{name: "host", host: "elsewhere", files: broker.TLSFiles{CA: ca}, want: "cannot validate certificate for 127.0.0.1"},
		{name: "server name", host: loopback, files: broker.TLSFiles{CA: ca, ServerName: "kafka"}, want: "wanted to match kafka"},
		{name: "expired", host: loopback, until: time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC), files: broker.TLSFiles{CA: ca}, want: "expired"},
		{name: "no certificate of ours", host: loopback, mutual: authority, files: broker.TLSFiles{CA: ca}, want: "certificate required"},
		{name: "the wrong certificate of ours", host: loopback, mutual: authority, files: broker.TLSFiles{CA: ca, Cert: cert, Key: key}, want: "remote error: tls: "},
	} {
		// On real sockets: a pipe in memory holds nothing, so that a client that
		// turns away and a server in the middle of a sentence wait for each other.
		t.Run(c.name, func(t *testing.T) {
			config, err := authority.Server(c.mutual, c.until, c.host)
			if err != nil {
				t.Fatal(err)
			}
			cluster := secureCluster(t, embedded.Options{TLS: config})
			conn := connectWith(t, cluster, nil, broker.Options{TLS: c.files.Config})
			err = reach(t.Context(), conn)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("by the transport: %v, want %q", err, c.want)
			}
			// The dialer's failed handshake leaves nothing open: Close, which
			// waits for every connection's owner, would wait for ever.
			dialled, err := conn.Dialer().DialContext(t.Context(), "tcp", cluster.Addrs()[0])
			if err == nil { // TLS 1.3 tells a client that it is not wanted when it reads
				_, err = dialled.ReadPartitions("results")
				dialled.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("by the dialer: %v, want %q", err, c.want)
			}
		})
	}
}

// A broker that accepts and then says nothing ends with the dial's time-out or
// with Close, whichever is first.
func TestAHandshakeWithoutAnswerEnds(t *testing.T) {
	for _, closing := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			network := new(embedded.Network)
			l, err := network.Listen("tcp", "localhost:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			conn, err := broker.NewConnection(broker.Options{
				Brokers: []string{l.Addr().String()}, DialFunc: network.DialContext, TLS: broker.TLSFiles{}.Config, DialTimeout: time.Hour,
			})
			if err != nil {
				t.Fatal(err)
			}
			failed := make(chan error)
			go func() {
				_, err := conn.Dialer().DialContext(t.Context(), "tcp", l.Addr().String())
				failed <- err
			}()
			accepted, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer accepted.Close()
			synctest.Wait()
			began, want := time.Now(), context.DeadlineExceeded
			if closing {
				conn.Close()
				want = broker.ErrConnectionClosed
			}
			wantErrorIs(t, <-failed, want)
			if took := time.Since(began); took > time.Hour || closing && took > 0 {
				t.Errorf("took %v", took)
			}
			conn.Close()
		})
	}
}

func TestRenewedFilesAreUsedForTheNextConnection(t *testing.T) {
	before, after, clients, clientsAfter := newAuthority(t), newAuthority(t), newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	// The cluster's TLS is changed while it runs, as that of a real one is.
	var server atomic.Pointer[tls.Config]
	renew := func(authority, clients *embedded.Authority) {
		config, err := authority.Server(clients, time.Time{}, loopback)
		if err != nil {
			t.Fatal(err)
		}
		server.Store(config)
	}
	renew(before, clients)
	cluster := secureCluster(t, embedded.Options{TLS: &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return server.Load(), nil },
	}})
	files := broker.TLSFiles{CA: writeFile(t, dir, "ca.pem", before.PEM())}
	files.Cert, files.Key = issue(t, clients, dir, "verdict")
	conn := connectWith(t, cluster, nil, broker.Options{TLS: files.Config})
	if err := reach(t.Context(), conn); err != nil {
		t.Fatal(err)
	}

	renew(after, clientsAfter)
	dial := func() error {
		dialled, err := conn.Dialer().DialContext(t.Context(), "tcp", cluster.Addrs()[0])
		if err != nil {
			return err
		}
		defer dialled.Close()
		_, err = dialled.ReadPartitions("results")
		return err
	}
	if err := dial(); err == nil {
		t.Error("another authority's certificate is trusted")
	}
	writeFile(t, dir, "ca.pem", after.PEM())
	if err := dial(); err == nil {
		t.Error("the broker takes the old certificate")
	}
	issue(t, clientsAfter, dir, "verdict")
	if err := dial(); err != nil {
		t.Errorf("with everything renewed: %v", err)
	}

	// A file that is gone fails the dial, by name, and the next one goes well.
	if err := os.Remove(files.CA); err != nil {
		t.Fatal(err)
	}
	if err := dial(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without the CA file: %v", err)
	}
	writeFile(t, dir, "ca.pem", after.PEM())
	if err := dial(); err != nil {
		t.Errorf("with the file back: %v", err)
	}
}

func TestAChangedPasswordIsUsedForTheNextConnection(t *testing.T) {
	for _, mechanism := range []string{broker.Plain, broker.ScramSHA256, broker.ScramSHA512} {
		synctest.Test(t, func(t *testing.T) {
			cluster, network := secureBench(t, embedded.Options{
				Users: []embedded.User{{Mechanism: mechanism, Name: "verdict", Password: "new"}},
			})
			var password atomic.Value
			password.Store("old")
			conn := connectWith(t, cluster, network, broker.Options{
				SASL: mustLogin(t, mechanism, "verdict", func() (string, error) { return password.Load().(string), nil }),
			})
			if err := reach(t.Context(), conn); err == nil {
				t.Errorf("%s: logged in with the wrong password", mechanism)
			}
			password.Store("new")
			if err := reachInTime(t.Context(), conn); err != nil {
				t.Errorf("%s: %v", mechanism, err)
			}
		})
	}
}

func TestAPasswordThatCannotBeReadFailsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster, network := secureBench(t, embedded.Options{
			Users: []embedded.User{{Mechanism: broker.Plain, Name: "verdict", Password: "p"}},
		})
		unreadable := errors.New("unreadable")
		conn := connectWith(t, cluster, network, broker.Options{
			SASL: mustLogin(t, broker.Plain, "verdict", func() (string, error) { return "", unreadable }),
		})
		wantErrorIs(t, reach(t.Context(), conn), unreadable)
	})
}

func TestLoginsThatCannotWork(t *testing.T) {
	if _, err := broker.NewLogin("GSSAPI", "u", fixed("p")); err == nil || !strings.Contains(err.Error(), `"GSSAPI": want PLAIN`) {
		t.Errorf("unknown mechanism: %v", err)
	}
	m := mustLogin(t, broker.ScramSHA256, "u", fixed("secret\x07word"))
	_, _, err := m.Start(t.Context())
	if err == nil || strings.Contains(err.Error(), "7") {
		t.Errorf("a password that SCRAM does not allow: %v", err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		if s := fmt.Sprintf(verb, m); strings.Contains(s, "secret") {
			t.Errorf("%s shows the password: %s", verb, s)
		}
	}
}

func TestFilesThatCannotBeUsedAreNamed(t *testing.T) {
	authority := newAuthority(t)
	dir := t.TempDir()
	cert, key := issue(t, authority, dir, "a")
	otherDir := t.TempDir()
	_, otherKey := issue(t, authority, otherDir, "b")
	text := writeFile(t, dir, "text", []byte("hunter2"))
	large := writeFile(t, dir, "large", make([]byte, 1<<20+1))
	encrypted := writeFile(t, dir, "encrypted", []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"))
	for _, c := range []struct {
		name        string
		files       broker.TLSFiles
		field, want string
	}{
		{"no CA file", broker.TLSFiles{CA: filepath.Join(dir, "none")}, "CA", "no such file"},
		{"CA that is none", broker.TLSFiles{CA: text}, "CA", "no certificate in PEM form"},
		{"CA that is a key", broker.TLSFiles{CA: key}, "CA", "no certificate in PEM form"},
		{"CA too large", broker.TLSFiles{CA: large}, "CA", "more than 1048576 bytes"},
		{"no certificate", broker.TLSFiles{Cert: filepath.Join(dir, "none"), Key: key}, "Cert", "no such file"},
		{"no key", broker.TLSFiles{Cert: cert, Key: filepath.Join(dir, "none")}, "Key", "no such file"},
		{"the two the wrong way round", broker.TLSFiles{Cert: key, Key: cert}, "Cert", "private key"},
		{"key of another certificate", broker.TLSFiles{Cert: cert, Key: otherKey}, "Cert", "does not match"},
		{"encrypted key", broker.TLSFiles{Cert: cert, Key: encrypted}, "Key", "is encrypted"},
		{"certificate that is none", broker.TLSFiles{Cert: text, Key: key}, "Cert", "failed to find"},
	} {
		_, err := c.files.Config()
		file, ok := errors.AsType[*broker.FileError](err)
		if !ok || file.Field != c.field || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %s and %q", c.name, err, c.field, c.want)
		}
	}
	_, err := broker.TLSFiles{CA: filepath.Join(dir, "none")}.Config()
	wantErrorIs(t, err, fs.ErrNotExist)
}
