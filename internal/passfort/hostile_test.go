package passfort_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
)

// complete completes the task of the tests and returns the response.
func complete(t *testing.T, client *passfort.Client) (passfort.Response, error) {
	t.Helper()
	_, resp, err := client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass)
	return resp, err
}

func TestEndlessBodyIsReadUpToTheLimit(t *testing.T) {
	for _, status := range []int{200, 404} {
		var written atomic.Int64
		client := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			chunk := bytes.Repeat([]byte(" "), 32<<10)
			for {
				n, err := w.Write(chunk)
				written.Add(int64(n))
				if err != nil {
					return
				}
			}
		}))
		resp, err := complete(t, client)
		if status == 200 {
			failure(t, err, passfort.KindUnconfirmed, true)
		} else {
			failure(t, err, passfort.KindForeign, true)
		}
		if resp.Status != status || written.Load() > 4<<20 {
			t.Errorf("status %d, %d bytes", resp.Status, written.Load())
		}
	}
}

func TestGzipBombIsReadUpToTheLimit(t *testing.T) {
	const limit = 1 << 20
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = io.CopyN(z, zeros{}, 8*limit)
	_ = z.Close()
	client := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes())
	}))
	_, err := complete(t, client)
	if e := failure(t, err, passfort.KindForeign, true); !strings.Contains(e.Message, "more than") {
		t.Errorf("message %q", e.Message)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestGzipAnswerIsDecoded(t *testing.T) {
	client := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = fmt.Fprintf(z, `{"id":%q,"state":"COMPLETED_PASS"}`, taskID)
		_ = z.Close()
	}))
	if _, err := complete(t, client); err != nil {
		t.Error(err)
	}
}

func TestDeclaredLengthAllocatesNothing(t *testing.T) {
	client := raw(t, func(conn net.Conn) {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1099511627776\r\n\r\n{}")
	})
	_, err := complete(t, client)
	failure(t, err, passfort.KindUnconfirmed, true)
}

func TestSlowBodyEndsAtTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte(" "))
				_ = http.NewResponseController(w).Flush()
				select {
				case <-time.After(time.Second):
				case <-r.Context().Done():
				}
			}
		}), func(o *passfort.Options) { o.Timeout = 10500 * time.Millisecond })
		start := time.Now()
		resp, err := complete(t, client)
		failure(t, err, passfort.KindUnconfirmed, true)
		if took := time.Since(start); took != 10500*time.Millisecond || resp.Status != 200 {
			t.Errorf("after %s, status %d", took, resp.Status)
		}

		ctx, cancel := context.WithTimeout(t.Context(), 5500*time.Millisecond)
		defer cancel()
		_, _, err = client.CompleteTask(ctx, profileID, taskID, decision.CompletedPass)
		failure(t, err, passfort.KindCanceled, true)
	})
}

func TestLargeHeadersAreNotRead(t *testing.T) {
	client := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := range 100 {
			w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 1<<10))
		}
	}))
	_, err := complete(t, client)
	failure(t, err, passfort.KindConnection, true)
}

func TestRedirectIsNotFollowed(t *testing.T) {
	var reached atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		client := serve(t, http.RedirectHandler(elsewhere.URL+"/4.0/"+key, status))
		_, err := complete(t, client)
		e := failure(t, err, passfort.KindForeign, true)
		_, _, err = client.WhoAmI(t.Context())
		failure(t, err, passfort.KindForeign, false)
		if e.Status != status {
			t.Errorf("status %d, want %d", e.Status, status)
		}
	}
	client := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "https://elsewhere.example/"+key)
		w.WriteHeader(301)
	}))
	_, err := complete(t, client)
	if e := failure(t, err, passfort.KindForeign, true); e.Message != `redirected to "https://elsewhere.example/[redacted]", not followed: is the base URL right?` {
		t.Errorf("message %q", e.Message)
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d calls went elsewhere", n)
	}
}

func TestBadCertificateIsRefusedBeforeSending(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		from, until time.Time
		host        string
		trusted     bool
		message     string
	}{
		"unknown authority": {now.Add(-time.Hour), now.Add(time.Hour), "127.0.0.1", false, "unknown authority"},
		"expired":           {now.Add(-2 * time.Hour), now.Add(-time.Hour), "127.0.0.1", true, "expired"},
		"not valid yet":     {now.Add(time.Hour), now.Add(2 * time.Hour), "127.0.0.1", true, "not yet valid"},
		"another host":      {now.Add(-time.Hour), now.Add(time.Hour), "127.0.0.2", true, "127.0.0.2"},
		"good":              {now.Add(-time.Hour), now.Add(time.Hour), "127.0.0.1", true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var reached atomic.Int32
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
			server.Config.ErrorLog = log.New(io.Discard, "", 0) // discards the failed handshakes
			server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t, c.from, c.until, c.host)}}
			server.StartTLS()
			defer server.Close()
			client, err := passfort.New(options(server.URL))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if c.trusted {
				client.Trust(server.Certificate())
			}
			_, err = complete(t, client)
			if c.message == "" {
				if reached.Load() != 1 {
					t.Errorf("the request was not sent: %v", err)
				}
				return
			}
			if e := failure(t, err, passfort.KindConnection, false); !strings.Contains(e.Message, "certificate") || !strings.Contains(e.Message, c.message) {
				t.Errorf("message %q, want %q in it", e.Message, c.message)
			}
			if reached.Load() != 0 {
				t.Error("the request was sent")
			}
		})
	}
}

// certificate returns a self-signed certificate for an address.
func certificate(t *testing.T, from, until time.Time, address string) tls.Certificate {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: until, IPAddresses: []net.IP{net.ParseIP(address)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
}

func TestServerThatIsNotHTTP(t *testing.T) {
	for name, answer := range map[string]string{
		"nothing":             "",
		"garbage":             "SSH-2.0-OpenSSH_9.9 " + key + "\r\n",
		"half a header":       "HTTP/1.1 200 OK\r\nContent-",
		"two lengths":         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
		"invalid header line": "HTTP/1.1 200 OK\r\n\x00: " + key + "\r\n\r\n",
	} {
		client := raw(t, func(conn net.Conn) { _, _ = io.WriteString(conn, answer) })
		_, err := complete(t, client)
		if e := failure(t, err, passfort.KindConnection, true); e.Message == "" {
			t.Errorf("%s: no message", name)
		}
	}
}

func TestBrokenEncodingIsUnconfirmed(t *testing.T) {
	for name, answer := range map[string]string{
		"not gzip":  "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
		"bad chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"too short": "HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{}",
	} {
		client := raw(t, func(conn net.Conn) { _, _ = io.WriteString(conn, answer) })
		resp, err := complete(t, client)
		failure(t, err, passfort.KindUnconfirmed, true)
		if resp.Status != 200 {
			t.Errorf("%s: status %d", name, resp.Status)
		}
	}
}

func TestSwitchingProtocolsIsForeign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make(chan struct{})
		client := raw(t, func(conn net.Conn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
			<-done
		})
		defer close(done)
		start := time.Now()
		resp, err := complete(t, client)
		failure(t, err, passfort.KindForeign, true)
		if resp.Status != 101 || time.Since(start) > 0 {
			t.Errorf("status %d after %s", resp.Status, time.Since(start))
		}
	})
}
