package broker_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// More than any answer on the loopback interface takes; and what is waited for
// one that does not come.
const (
	longEnough = time.Minute
	notLong    = 200 * time.Millisecond
)

func probe(t *testing.T, addr string, o broker.Options, patience time.Duration) (*broker.Probe, error) {
	t.Helper()
	o.Brokers = []string{addr}
	conn, err := broker.NewConnection(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	p, err := conn.OpenProbe(ctx, addr)
	if err == nil {
		t.Cleanup(p.Close)
	}
	return p, err
}

// listenWith serves each connection to a port of its own with serve, which ends
// when the connection is closed.
func listenWith(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			serving.Go(func() { defer conn.Close(); serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, conn := range open {
			conn.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
	return l.Addr().String()
}

// limitedPort leads to a cluster and cuts, as a real broker does and the
// embedded one does not, a connection whose first request claims to be larger
// than socket.request.max.bytes.
func limitedPort(t *testing.T, cluster *embedded.Cluster) string {
	return listenWith(t, func(conn net.Conn) {
		size := make([]byte, 4)
		if _, err := io.ReadFull(conn, size); err != nil || binary.BigEndian.Uint32(size) > 100<<20 {
			return
		}
		to, err := net.Dial("tcp", cluster.Addrs()[0])
		if err != nil {
			return
		}
		defer to.Close()
		to.Write(size)
		go func() { io.Copy(to, conn); to.Close() }()
		io.Copy(conn, to)
	})
}

func TestFailedConnectionsAreToldApart(t *testing.T) {
	authority, other := newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	ca := writeFile(t, dir, "ca.pem", authority.PEM())
	trusting := broker.Options{TLS: broker.TLSFiles{CA: ca}.Config}
	withTLS := func(clients *embedded.Authority, until time.Time, host string) string {
		config, err := authority.Server(clients, until, host)
		if err != nil {
			t.Fatal(err)
		}
		return secureCluster(t, embedded.Options{TLS: config}).Addrs()[0]
	}
	user := embedded.Options{Users: []embedded.User{{Mechanism: broker.Plain, Name: "verdict", Password: "right"}}}
	logsIn := func(password string) broker.Options {
		return broker.Options{SASL: mustLogin(t, broker.Plain, "verdict", fixed(password))}
	}
	// handshake is a cluster that answers the choice of a mechanism so.
	handshake := func(code *kerr.Error) string {
		cluster := secureCluster(t, user)
		cluster.Kfake().ControlKey(int16(kmsg.SASLHandshake), func(req kmsg.Request) (kmsg.Response, error, bool) {
			res := req.ResponseKind().(*kmsg.SASLHandshakeResponse)
			res.ErrorCode, res.SupportedMechanisms = code.Code, []string{broker.ScramSHA512}
			return res, nil, true
		})
		return cluster.Addrs()[0]
	}
	closed := listenWith(t, func(net.Conn) {})
	plain := secureCluster(t, embedded.Options{})
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	silent := listenWith(t, func(conn net.Conn) { io.Copy(io.Discard, conn) })
	noName := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "kafka", IsNotFound: true}}
	}

	for _, c := range []struct {
		name string
		addr string
		o    broker.Options
		want broker.Cause
	}{
		{"unknown name", "kafka:9092", broker.Options{DialFunc: noName}, broker.CauseDNS},
		{"nobody listens", gone.Addr().String(), broker.Options{}, broker.CauseRefused},
		{"silence", silent, broker.Options{}, broker.CauseTimeout},
		{"silence with TLS", silent, trusting, broker.CauseTimeout},
		{"cut", closed, broker.Options{}, broker.CauseNotKafka},
		{"cut with TLS", closed, trusting, broker.CauseHandshake},
		{"another protocol", web.Listener.Addr().String(), broker.Options{}, broker.CauseNotKafka},
		{"plain port", limitedPort(t, plain), trusting, broker.CausePlainPort},
		{"TLS port", withTLS(nil, time.Time{}, loopback), broker.Options{}, broker.CauseTLSPort},
		{"TLS port that wants a certificate", withTLS(authority, time.Time{}, loopback), broker.Options{}, broker.CauseTLSPort},
		{"authority", withTLS(nil, time.Time{}, loopback), broker.Options{TLS: broker.TLSFiles{CA: writeFile(t, dir, "other.pem", other.PEM())}.Config}, broker.CauseAuthority},
		{"host name", withTLS(nil, time.Time{}, "elsewhere"), trusting, broker.CauseHostname},
		{"expired", withTLS(nil, time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC), loopback), trusting, broker.CauseExpired},
		{"no certificate of ours", withTLS(authority, time.Time{}, loopback), trusting, broker.CauseClientCert},
		{"no CA file", "127.0.0.1:1", broker.Options{TLS: broker.TLSFiles{CA: filepath.Join(dir, "none")}.Config, DialFunc: func(ctx context.Context, n, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, n, silent)
		}}, broker.CauseFile},
		{"password", secureCluster(t, user).Addrs()[0], logsIn("wrong"), broker.CauseCredentials},
		{"mechanism", handshake(kerr.UnsupportedSaslMechanism), logsIn("right"), broker.CauseMechanism},
		{"no login wanted", handshake(kerr.IllegalSaslState), logsIn("right"), broker.CauseNoSASL},
		{"login wanted", secureCluster(t, user).Addrs()[0], broker.Options{}, broker.CauseLoginWanted},
	} {
		t.Run(c.name, func(t *testing.T) {
			patience := longEnough
			if c.want == broker.CauseTimeout {
				patience = notLong
			}
			_, err := probe(t, c.addr, c.o, patience)
			failed, ok := errors.AsType[*broker.ConnectError](err)
			if !ok || failed.Cause != c.want || failed.Address != c.addr {
				t.Errorf("%v, want %q", err, c.want)
			}
			if c.want == broker.CauseMechanism && !strings.Contains(err.Error(), "offers SCRAM-SHA-512") {
				t.Errorf("%v: does not say what the broker offers", err)
			}
		})
	}
}

func TestAProbeTriesWithoutDoing(t *testing.T) {
	cluster, err := embedded.Start(embedded.Options{
		Topics: map[string]int{"in": 1, "out": 1},
		Users: []embedded.User{
			{Mechanism: broker.Plain, Name: "admin", Password: "p"},
			{Mechanism: broker.Plain, Name: "verdict", Password: "p", Permissions: []embedded.Permission{
				{Resource: "topic", Name: "in", Operation: "read"},
				{Resource: "topic", Name: "out", Operation: "write"},
				{Resource: "group", Name: "mine", Operation: "read"},
			}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	for _, user := range []string{"admin", "verdict"} {
		o := broker.Options{SASL: mustLogin(t, broker.Plain, user, fixed("p"))}
		p, err := probe(t, cluster.Addrs()[0], o, longEnough)
		if err != nil {
			t.Fatal(err)
		}
		o.Brokers = cluster.Addrs()
		conn, err := broker.NewConnection(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		if user == "admin" {
			// The embedded cluster asks for the right to a group once there is one; a
			// real one at once.
			_, err := conn.Client().OffsetCommit(t.Context(), &kafka.OffsetCommitRequest{
				GroupID: "other", GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{"in": {{Partition: 0}}},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		denied, groupDenied := error(kafka.TopicAuthorizationFailed), error(kafka.GroupAuthorizationFailed)
		if user == "admin" {
			denied, groupDenied = nil, nil
		}
		wantErrorIs(t, p.MayRead("in"), nil)
		wantErrorIs(t, p.MayWrite("in"), denied)
		wantErrorIs(t, p.MayRead("out"), denied)
		wantErrorIs(t, p.MayWrite("out"), nil)
		wantErrorIs(t, p.MayJoin("mine"), nil)
		wantErrorIs(t, p.MayJoin("other"), groupDenied)
	}
	for _, topic := range []string{"in", "out"} {
		if n := cluster.HighWatermark(topic, 0); n != 0 {
			t.Errorf("%s has %d records", topic, n)
		}
	}
	if g := cluster.Kfake().GroupInfo("mine"); g != nil {
		t.Errorf("there is a group now: %+v", g)
	}
}

func TestAProbeShowsTheCertificate(t *testing.T) {
	authority := newAuthority(t)
	until := time.Date(2051, 2, 3, 0, 0, 0, 0, time.UTC)
	config, err := authority.Server(nil, until, loopback)
	if err != nil {
		t.Fatal(err)
	}
	ca := writeFile(t, t.TempDir(), "ca.pem", authority.PEM())
	p, err := probe(t, secureCluster(t, embedded.Options{TLS: config}).Addrs()[0], broker.Options{TLS: broker.TLSFiles{CA: ca}.Config}, longEnough)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.TLS().PeerCertificates[0].NotAfter; !got.Equal(until) {
		t.Errorf("the certificate ends %v, want %v", got, until)
	}
	p, err = probe(t, secureCluster(t, embedded.Options{}).Addrs()[0], broker.Options{}, longEnough)
	if err != nil || p.TLS() != nil {
		t.Errorf("without TLS: %v, %v", p, err)
	}
}
