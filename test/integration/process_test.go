package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the program under test, built once.
var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(buildDir, "verdict")
	out, err := exec.CommandContext(context.Background(), "go", "build", "-o", path, "verdict/cmd/verdict").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build verdict: %w\n%s", err, out)
	}
	return path, nil
})

var buildDir string

func TestMain(m *testing.M) {
	// They wait more than they work.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	var err error
	if buildDir, err = os.MkdirTemp("", "verdict-integration-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	_ = os.RemoveAll(buildDir)
	os.Exit(status)
}

// patience bounds every wait for something that must come: far beyond what it
// takes, since the machine may be busy with other things.
const patience = 2 * time.Minute

// process is a running `verdict run`.
type process struct {
	t      *testing.T
	name   string
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has
	admin  chan string   // gets the admin server's address once
	addr   string

	mu  sync.Mutex
	log bytes.Buffer
}

// launch starts the program with an environment.
func launch(t *testing.T, name string, env []string) *process {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, name: name, exited: make(chan struct{}), admin: make(chan string, 1)}
	p.cmd = exec.Command(path, "run")
	p.cmd.Env = env
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		p.read(stderr)
		_ = p.cmd.Wait() // its status is asked for
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.exited
		if t.Failed() {
			p.mu.Lock()
			defer p.mu.Unlock()
			t.Logf("the log of %s ends with:\n%s", name, p.log.Bytes()[max(0, p.log.Len()-8000):])
		}
	})
	return p
}

func (p *process) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.mu.Lock()
		p.log.Write(append(lines.Bytes(), '\n'))
		p.mu.Unlock()
		var line struct{ Msg, Admin string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "started" {
			p.admin <- line.Admin
		}
	}
	_, _ = io.Copy(io.Discard, r) // so that it never waits for a reader
}

// text is its log so far.
func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// signal sends a signal.
func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
}

// status waits for its end.
func (p *process) status() *os.ProcessState {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatalf("%s does not end", p.name)
	}
	return p.cmd.ProcessState
}

// stop ends it as an orchestrator does, and wants it to say that all is well.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if s := p.status(); s.ExitCode() != 0 {
		p.t.Errorf("%s ended after SIGTERM with %v, want 0", p.name, s)
	}
}

// kill ends it at once.
func (p *process) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	p.status()
}

// get asks the admin server. status 0: it is not there.
func (p *process) get(path string) (status int, body string) {
	p.t.Helper()
	if p.addr == "" {
		select {
		case p.addr = <-p.admin:
		case <-p.exited:
			return 0, ""
		case <-time.After(patience):
			p.t.Fatalf("%s does not start", p.name)
		}
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.addr+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, ""
	}
	return resp.StatusCode, string(b)
}

// metric is the sum of a metric's series whose labels contain all of the texts,
// such as `cause="kafka"`.
func (p *process) metric(name string, labels ...string) (sum float64) {
	p.t.Helper()
	_, body := p.get("/metrics")
	for line := range strings.Lines(body) {
		series, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		metric, have, _ := strings.Cut(series, "{")
		if !ok || metric != name {
			continue
		}
		matches := true
		for _, label := range labels {
			matches = matches && strings.Contains(have, label)
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			p.t.Fatal(err)
		}
		if matches {
			sum += v
		}
	}
	return sum
}

// ready waits until it is a member of the group and owns n partitions; n 0:
// some.
func (p *process) ready(n int) {
	p.t.Helper()
	await(p.t, fmt.Sprintf("%s owns its partitions", p.name), func() bool {
		owned := int(p.metric("verdict_partitions_assigned"))
		return n == 0 && owned > 0 || n > 0 && owned == n
	})
}

// await looks again and again until what is waited for is there.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	if !within(t, patience, is) {
		t.Fatalf("after %v still not: %s", patience, what)
	}
}

// within says whether something came true in so much time, or the test ended.
func within(t *testing.T, d time.Duration, is func() bool) bool {
	for end := time.Now().Add(d); !is(); {
		if time.Now().After(end) {
			return false
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-t.Context().Done():
			return true
		}
	}
	return true
}
