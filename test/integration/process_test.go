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

// binary builds the program under test once and returns its path.
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
	// The tests wait more than they work.
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

// patience limits every wait. It is far longer than needed, because the machine may be
// busy.
const patience = 2 * time.Minute

// process is a running `verdict run`.
type process struct {
	t      *testing.T
	name   string
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has exited
	admin  chan string   // receives the address of the admin server once
	addr   string

	mu  sync.Mutex
	log bytes.Buffer
}

// launch starts `verdict run` with an environment. The process ends with the test.
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
		_ = p.cmd.Wait() // wait returns the status
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.exited
		if t.Failed() {
			p.mu.Lock()
			defer p.mu.Unlock()
			t.Logf("end of the log of %s:\n%s", name, p.log.Bytes()[max(0, p.log.Len()-8000):])
		}
	})
	return p
}

// read collects the log and finds the address of the admin server in it.
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
	_, _ = io.Copy(io.Discard, r) // so that the process never blocks on its log
}

// logText returns the log so far.
func (p *process) logText() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// signal sends a signal to the process.
func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
}

// wait waits until the process exits.
func (p *process) wait() *os.ProcessState {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatalf("%s does not exit", p.name)
	}
	return p.cmd.ProcessState
}

// stop ends the process with SIGTERM, as an orchestrator does, and checks that it exits
// with 0.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if s := p.wait(); s.ExitCode() != 0 {
		p.t.Errorf("%s: %v after SIGTERM, want exit status 0", p.name, s)
	}
}

// kill ends the process with SIGKILL.
func (p *process) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	p.wait()
}

// get sends a request to the admin server. Status 0 means that it does not answer.
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

// metric returns the sum of a metric's series whose labels contain all of the given
// texts, such as `cause="kafka"`.
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

// awaitPartitions waits until the process owns n partitions, or any if n is 0.
func (p *process) awaitPartitions(n int) {
	p.t.Helper()
	await(p.t, fmt.Sprintf("%s owns its partitions", p.name), func() bool {
		owned := int(p.metric("verdict_partitions_assigned"))
		return n == 0 && owned > 0 || n > 0 && owned == n
	})
}

// await polls until cond is true. It fails the test after patience.
func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	if !within(t, patience, cond) {
		t.Fatalf("waited %v for: %s", patience, what)
	}
}

// within polls until cond is true, and reports false if it is not after d. It also returns
// when the test ends.
func within(t *testing.T, d time.Duration, cond func() bool) bool {
	for end := time.Now().Add(d); !cond(); {
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
