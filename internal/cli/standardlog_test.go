package cli

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
)

// TestStandardLogQuotesNoUnsolicitedAnswer has a server send a second answer after the
// one that was asked for.
func TestStandardLogQuotesNoUnsolicitedAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log.SetOutput(StandardLog(&out))
		defer log.SetOutput(os.Stderr)
		client, server := net.Pipe()
		go func() {
			_, _ = http.ReadRequest(bufio.NewReader(server))
			const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
			_, _ = io.WriteString(server, answer+"HTTP/1.1 200 OK\r\n\r\nJane Doe")
		}()
		transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return client, nil }}
		request, err := http.NewRequest(http.MethodGet, "http://localhost", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		synctest.Wait()
		if got := out.String(); !strings.Contains(got, "Unsolicited response") || strings.Contains(got, "Jane") {
			t.Errorf("log %q", got)
		}
	})
}
