package cli

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// A script that uses a running demo needs the summary and the addresses.
func TestDemoKeepPrintsTheSummaryBeforeItWaits(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	reader, out := io.Pipe()
	var addresses lockedBuffer
	status := make(chan int, 1)
	go func() {
		status <- Execute(ctx, []string{"demo", "--keep", "--decisions", "5", "--rate", "0", "--latency", "0"}, Process{Out: out, Err: &addresses})
		out.Close()
	}()
	lines := bufio.NewScanner(reader)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "submitted=5 completed=5 dead_lettered=0 ") {
		t.Fatalf("first line %q", lines.Text())
	}
	found := regexp.MustCompile(`http://\S+/metrics`).FindString(addresses.String())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, found, http.NoBody)
	if err != nil {
		t.Fatalf("%v in %q", err, addresses.String())
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("%s: %s", found, answer.Status)
	}
	stop()
	if lines.Scan() {
		t.Errorf("one more line: %q", lines.Text())
	}
	if got := <-status; got != ExitDone {
		t.Errorf("exit status %d: %s", got, addresses.String())
	}
}

// lockedBuffer is a buffer that can be read while it is written.
type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
