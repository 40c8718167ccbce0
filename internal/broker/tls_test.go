package broker_test

import (
	"context"
	"crypto/tls"
	"errors"
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
)

func TestTLSRefusesUntrustedPeers(t *testing.T) {
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
		{name: "no client certificate", host: loopback, mutual: authority, files: broker.TLSFiles{CA: ca}, want: "certificate required"},
		{name: "the wrong client certificate", host: loopback, mutual: authority, files: broker.TLSFiles{CA: ca, Cert: cert, Key: key}, want: "remote error: tls: "},
	} {
		// On real sockets: a pipe in memory has no buffer, so a client that closes
		// and a server in the middle of a write would wait for each other.
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
			// A failed handshake of the dialer leaves nothing open, or Close, which
			// waits for every connection's owner, would never return.
			dialled, err := conn.Dialer().DialContext(t.Context(), "tcp", cluster.Addrs()[0])
			if err == nil { // with TLS 1.3 a client is refused when it reads
				_, err = dialled.ReadPartitions("results")
				dialled.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("by the dialer: %v, want %q", err, c.want)
			}
		})
	}
}

// A broker that accepts and sends nothing is given up at the dial's time-out or at
// Close, whichever is first.
func TestTLSHandshakeWithoutAnswerEnds(t *testing.T) {
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
				t.Errorf("took %v, want at most 1h, and no time after Close", took)
			}
			conn.Close()
		})
	}
}

func TestTLSFilesAreReadForEachConnection(t *testing.T) {
	before, after, clients, clientsAfter := newAuthority(t), newAuthority(t), newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	// The cluster's TLS changes while it runs, like a real one's.
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
		t.Error("the broker accepts the old certificate")
	}
	issue(t, clientsAfter, dir, "verdict")
	if err := dial(); err != nil {
		t.Errorf("with everything renewed: %v", err)
	}

	// A missing file fails the dial and is named; the next dial succeeds.
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

func TestTLSFilesNameTheFaultyFile(t *testing.T) {
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
		{"CA that is text", broker.TLSFiles{CA: text}, "CA", "no certificate in PEM form"},
		{"CA that is a key", broker.TLSFiles{CA: key}, "CA", "no certificate in PEM form"},
		{"CA too large", broker.TLSFiles{CA: large}, "CA", "more than 1048576 bytes"},
		{"no certificate", broker.TLSFiles{Cert: filepath.Join(dir, "none"), Key: key}, "Cert", "no such file"},
		{"no key", broker.TLSFiles{Cert: cert, Key: filepath.Join(dir, "none")}, "Key", "no such file"},
		{"certificate and key swapped", broker.TLSFiles{Cert: key, Key: cert}, "Cert", "private key"},
		{"key of another certificate", broker.TLSFiles{Cert: cert, Key: otherKey}, "Cert", "does not match"},
		{"encrypted key", broker.TLSFiles{Cert: cert, Key: encrypted}, "Key", "is encrypted"},
		{"certificate that is text", broker.TLSFiles{Cert: text, Key: key}, "Cert", "failed to find"},
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
