package integration

import (
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

func TestSIGTERMDrains(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, sceneOptions{api: sandbox.Options{Latency: 500 * time.Millisecond}})
			s.send(s.passing(s.topics.decisions, 0, 200)...)
			p := s.start("verdict", "VERDICT_KAFKA_SESSION_TIMEOUT=20s", "VERDICT_KAFKA_REBALANCE_TIMEOUT=20s", "VERDICT_PROCESSOR_SHUTDOWN_TIMEOUT=15s")
			await(t, "calls are in flight", func() bool { return len(s.completions()) > workers })
			p.signal(signal)
			if status := p.wait(); status.ExitCode() != 0 {
				t.Errorf("%v, want exit status 0", status)
			}
			calls, settled := len(s.completions()), s.settled()
			if calls != settled {
				t.Errorf("%d calls were made, but %d decisions settled", calls, settled)
			}
			next := s.start("next")
			s.awaitAll()
			next.stop()
			s.checkSettledOnce()
			s.checkCalledOnce()
		})
	}
}

// completionsHang lets completions wait for an answer, after they were done if act says so.
func completionsHang(act bool) func(sandbox.Call) sandbox.Fault {
	return func(c sandbox.Call) sandbox.Fault {
		if c.Operation == passfort.OpComplete {
			return sandbox.Fault{Do: sandbox.Hang, Act: act}
		}
		return sandbox.Fault{}
	}
}

func TestStopGivesUpCallsThatOutlastIt(t *testing.T) {
	t.Parallel()
	s := newScene(t, sceneOptions{})
	s.setFaults(completionsHang(true))
	s.send(s.passing(s.topics.decisions, 0, 3)...)
	p := s.start("verdict", "VERDICT_PROCESSOR_SHUTDOWN_TIMEOUT=1s")
	await(t, "calls hang", func() bool { return len(s.completions()) == 3 })
	start := time.Now()
	p.stop()
	if took := time.Since(start); took < time.Second || took > 20*time.Second {
		t.Errorf("the stop took %v with a shutdown timeout of 1s", took)
	}
	s.setFaults(nil)
	p = s.start("next")
	s.awaitAll()
	p.stop()
	for at, names := range s.outcomes() {
		if names[0] != "already_complete" || len(names) > 1 {
			t.Errorf("%v: %s, want already_complete: the next owner must look first", at, names)
		}
	}
	s.checkCalledOnce()
}

func TestSecondSignalKills(t *testing.T) {
	t.Parallel()
	s := newScene(t, sceneOptions{})
	s.setFaults(completionsHang(false))
	s.send(s.passing(s.topics.decisions, 0, 3)...)
	p := s.start("verdict", "VERDICT_KAFKA_SESSION_TIMEOUT=290s", "VERDICT_KAFKA_REBALANCE_TIMEOUT=290s", "VERDICT_PROCESSOR_SHUTDOWN_TIMEOUT=280s")
	p.awaitPartitions(2 * partitions)
	await(t, "a call hangs", func() bool { return len(s.completions()) > 0 })
	if status, body := p.get("/readyz"); status != http.StatusOK || !strings.HasPrefix(body, "ready=true paused=none ") ||
		!strings.Contains(body, " oldest.live.waits_for=call ") || strings.Count(body, "\n") != 1 {
		t.Errorf("/readyz: %d %q", status, body)
	}
	p.signal(syscall.SIGTERM)
	await(t, "/readyz fails", func() bool {
		status, _ := p.get("/readyz")
		return status != http.StatusOK
	})
	p.signal(syscall.SIGTERM)
	status := p.wait().Sys().(syscall.WaitStatus)
	if !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("%v, want death by SIGTERM", p.cmd.ProcessState)
	}
}

func TestRunWaitsForAnAbsentKafka(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := closed.Addr().String()
	closed.Close()
	p := launch(t, "verdict", []string{"VERDICT_KAFKA_BROKERS=" + addr, "VERDICT_API_KEY=x", "VERDICT_ADMIN_ADDR=127.0.0.1:0"})
	await(t, "the pause for Kafka", func() bool { return p.metric("verdict_paused", `cause="kafka"`) == 1 })
	status, body := p.get("/readyz")
	if status != http.StatusServiceUnavailable || !strings.HasPrefix(body, `ready=false why="not a member of the consumer group: Kafka requests fail`) ||
		!strings.Contains(body, " paused=kafka:") {
		t.Errorf("/readyz: %d %q", status, body)
	}
	if status, body := p.get("/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: %d %q, want 200: the service can recover", status, body)
	}
	if text := p.logText(); !strings.Contains(text, addr) || !strings.Contains(text, `"pause":"kafka"`) {
		t.Errorf("the log does not name the broker:\n%s", text)
	}
	p.stop()
}

func TestExitStatusIfRunCannotStart(t *testing.T) {
	t.Parallel()
	used, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { used.Close() })
	for name, c := range map[string]struct {
		env    []string
		status int
	}{
		"no API key":           {nil, 2},
		"unknown key":          {[]string{"VERDICT_API_KEY=x", "VERDICT_KAFKA_BROKER=x:1"}, 2},
		"admin port is in use": {[]string{"VERDICT_API_KEY=x", "VERDICT_ADMIN_ADDR=" + used.Addr().String()}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := launch(t, "verdict", c.env)
			if got := p.wait().ExitCode(); got != c.status {
				t.Errorf("exit status %d, want %d:\n%s", got, c.status, p.logText())
			}
			if c.status == 1 && strings.Count(p.logText(), "\n") != 1 {
				t.Errorf("want one line on standard error:\n%s", p.logText())
			}
		})
	}
}
