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
	"slices"
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

// How long to wait for an answer on the loopback interface, and for one that never
// comes.
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

// listenWith opens a port whose connections serve handles. Closing a connection
// must end serve.
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

// limitedPort is a proxy to a cluster. Like a real broker, and unlike the embedded
// one, it closes a connection whose first request claims to be larger than
// socket.request.max.bytes.
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

// failure is a connection that fails, and its cause.
type failure struct {
	name string
	addr string
	o    broker.Options
	want broker.Cause
}

func TestProbeTellsFailedConnectionsApart(t *testing.T) {
	for _, c := range slices.Concat(portFailures(t), tlsFailures(t), saslFailures(t)) {
		t.Run(c.name, func(t *testing.T) {
			patience := longEnough
			if c.want == broker.CauseTimeout {
				patience = notLong
			}
			_, err := probe(t, c.addr, c.o, patience)
			failed, ok := errors.AsType[*broker.ConnectError](err)
			if !ok || failed.Cause != c.want || failed.Address != c.addr {
				t.Errorf("error %v, want cause %q", err, c.want)
			}
			if c.want == broker.CauseMechanism && !strings.Contains(err.Error(), "offers SCRAM-SHA-512") {
				t.Errorf("error %v does not say what the broker offers", err)
			}
		})
	}
}

func trusting(t *testing.T, a *embedded.Authority) broker.Options {
	return broker.Options{TLS: broker.TLSFiles{CA: writeFile(t, t.TempDir(), "ca.pem", a.PEM())}.Config}
}

func portFailures(t *testing.T) []failure {
	withTLS := trusting(t, newAuthority(t))
	closed := listenWith(t, func(net.Conn) {})
	silent := listenWith(t, func(conn net.Conn) { io.Copy(io.Discard, conn) })
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	noName := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "kafka", IsNotFound: true}}
	}
	noFile := broker.Options{
		TLS: broker.TLSFiles{CA: filepath.Join(t.TempDir(), "none")}.Config,
		DialFunc: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, silent)
		},
	}
	return []failure{
		{"unknown name", "kafka:9092", broker.Options{DialFunc: noName}, broker.CauseDNS},
		{"connection refused", gone.Addr().String(), broker.Options{}, broker.CauseRefused},
		{"silence", silent, broker.Options{}, broker.CauseTimeout},
		{"silence with TLS", silent, withTLS, broker.CauseTimeout},
		{"cut", closed, broker.Options{}, broker.CauseNotKafka},
		{"cut with TLS", closed, withTLS, broker.CauseHandshake},
		{"another protocol", web.Listener.Addr().String(), broker.Options{}, broker.CauseNotKafka},
		{"plain port", limitedPort(t, secureCluster(t, embedded.Options{})), withTLS, broker.CausePlainPort},
		{"no CA file", "127.0.0.1:1", noFile, broker.CauseFile},
	}
}

func tlsFailures(t *testing.T) []failure {
	authority, other := newAuthority(t), newAuthority(t)
	// cluster returns the address of a cluster with this certificate.
	cluster := func(clients *embedded.Authority, until time.Time, host string) string {
		config, err := authority.Server(clients, until, host)
		if err != nil {
			t.Fatal(err)
		}
		return secureCluster(t, embedded.Options{TLS: config}).Addrs()[0]
	}
	return []failure{
		{"TLS port", cluster(nil, time.Time{}, loopback), broker.Options{}, broker.CauseTLSPort},
		{"TLS port that requires a certificate", cluster(authority, time.Time{}, loopback), broker.Options{}, broker.CauseTLSPort},
		{"authority", cluster(nil, time.Time{}, loopback), trusting(t, other), broker.CauseAuthority},
		{"host name", cluster(nil, time.Time{}, "elsewhere"), trusting(t, authority), broker.CauseHostname},
		{"expired", cluster(nil, time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC), loopback), trusting(t, authority), broker.CauseExpired},
		{"no client certificate", cluster(authority, time.Time{}, loopback), trusting(t, authority), broker.CauseClientCert},
	}
}

func saslFailures(t *testing.T) []failure {
	user := embedded.Options{Users: []embedded.User{{Mechanism: broker.Plain, Name: "verdict", Password: "right"}}}
	login := func(password string) broker.Options {
		return broker.Options{SASL: mustLogin(t, broker.Plain, "verdict", fixed(password))}
	}
	// handshake returns a cluster that answers each SASL handshake with this error.
	handshake := func(code *kerr.Error) string {
		cluster := secureCluster(t, user)
		cluster.Kfake().ControlKey(int16(kmsg.SASLHandshake), func(req kmsg.Request) (kmsg.Response, error, bool) {
			res := req.ResponseKind().(*kmsg.SASLHandshakeResponse)
			res.ErrorCode, res.SupportedMechanisms = code.Code, []string{broker.ScramSHA512}
			return res, nil, true
		})
		return cluster.Addrs()[0]
	}
	return []failure{
		{"password", secureCluster(t, user).Addrs()[0], login("wrong"), broker.CauseCredentials},
		{"mechanism", handshake(kerr.UnsupportedSaslMechanism), login("right"), broker.CauseMechanism},
		{"no login expected", handshake(kerr.IllegalSaslState), login("right"), broker.CauseNoSASL},
		{"login required", secureCluster(t, user).Addrs()[0], broker.Options{}, broker.CauseLoginWanted},
	}
}

func TestProbeTriesRightsWithoutEffect(t *testing.T) {
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
			// The embedded cluster checks the right to a group only if the group
			// exists; a real one checks it always.
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
			t.Errorf("topic %s has %d records, want none", topic, n)
		}
	}
	if g := cluster.Kfake().GroupInfo("mine"); g != nil {
		t.Errorf("a group was created: %+v", g)
	}
}

func TestProbeShowsTheCertificate(t *testing.T) {
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
