package service_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"verdict/test/watch"
)

// promServer is a running Prometheus.
type promServer struct {
	t   *testing.T
	s   *stage
	url string
}

// startPrometheus starts a Prometheus that scrapes the stage's targets, on a free port.
func startPrometheus(t *testing.T, binary string, s *stage, rules string, flags ...string) *promServer {
	t.Helper()
	dir := t.TempDir()
	config := fmt.Sprintf(`
global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: verdict
    static_configs:
      - targets: [%q, %q]
        labels: {group: verdict}
`, cmp.Or(rules, filepath.Join(dir, "none.yml")), s.targets[0].address, s.targets[1].address)
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	cmd := exec.Command(binary, append([]string{
		"--config.file=" + filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path=" + filepath.Join(dir, "data"),
		"--web.listen-address=" + address, "--log.level=warn",
	}, flags...)...)
	var out lockedBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if t.Failed() {
			t.Logf("Prometheus said:\n%s", out.String())
		}
	})
	p := &promServer{t, s, "http://" + address}
	s.until("Prometheus is ready", func() bool {
		resp, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return p
}

// promSeries is one series in an answer of Prometheus.
type promSeries struct {
	Metric map[string]string `json:"metric"`
	Values [][2]any          `json:"values"`
	Value  [2]any            `json:"value"`
}

// ask makes a query. An expression that Prometheus rejects fails the test.
func (p *promServer) ask(path string, query url.Values) []promSeries {
	p.t.Helper()
	resp, err := http.PostForm(p.url+path, query)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	var answer struct {
		Error string `json:"error"`
		Data  struct {
			Result []promSeries `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		p.t.Fatalf("%s: %v: %.200s", path, err, body)
	}
	if answer.Error != "" {
		p.t.Fatalf("Prometheus rejects %s: %s", query.Get("query"), answer.Error)
	}
	return answer.Data.Result
}

// has reports whether an expression has a value now.
func (p *promServer) has(expr string) bool {
	return len(p.ask("/api/v1/query", url.Values{"query": {expr}})) > 0
}

// await waits until an expression has a value.
func (p *promServer) await(expr string) {
	p.t.Helper()
	p.s.until("Prometheus has "+expr, func() bool { return p.has(expr) })
}

// overTime returns the values of an expression from the start until now.
func (p *promServer) overTime(expr, step string) []promSeries {
	p.t.Helper()
	return p.ask("/api/v1/query_range", url.Values{
		"query": {expr}, "step": {step},
		"start": {strconv.FormatInt(p.s.began.Unix(), 10)}, "end": {strconv.FormatInt(time.Now().Unix(), 10)},
	})
}

// had reports whether an expression had a number as its value at any time.
func (p *promServer) had(expr string) bool {
	p.t.Helper()
	for _, series := range p.overTime(expr, "1s") {
		for _, v := range series.Values {
			if n, err := strconv.ParseFloat(v[1].(string), 64); err == nil && !math.IsNaN(n) {
				return true
			}
		}
	}
	return false
}

// writePanels writes each panel with its data to a file.
func (p *promServer) writePanels(file, root string) {
	d, err := watch.ReadDashboard(root)
	if err != nil {
		p.t.Fatal(err)
	}
	type drawn struct {
		watch.Panel
		Data [][]promSeries `json:"data"` // by target
	}
	var all []drawn
	for _, panel := range d.Panels {
		one := drawn{Panel: panel}
		for _, target := range panel.Targets {
			e := watch.Expression{Expr: strings.ReplaceAll(target.Expr, "$__range", "10m")}
			one.Data = append(one.Data, p.overTime(e.Resolved(rateWindow), "1s"))
		}
		all = append(all, one)
	}
	text, err := json.Marshal(all)
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

var (
	window = regexp.MustCompile(`\[(\d+)m\]`)
	wait   = regexp.MustCompile(`(?m)^( +for: )(\d+)m$`)
)

// fastRules copies the rules with every window and wait shortened, and returns the
// pattern of the copies' paths.
func fastRules(t *testing.T, root string) string {
	t.Helper()
	dir := t.TempDir()
	files, err := filepath.Glob(filepath.Join(root, "configs", "prometheus", "rules", "*.yml"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		short := func(minutes string) string {
			n, err := strconv.Atoi(minutes)
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("%ds", n*60/faster)
		}
		fast := window.ReplaceAllStringFunc(string(text), func(s string) string {
			return "[" + short(window.FindStringSubmatch(s)[1]) + "]"
		})
		fast = wait.ReplaceAllStringFunc(fast, func(s string) string {
			m := wait.FindStringSubmatch(s)
			return m[1] + short(m[2])
		})
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), []byte(fast), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "*.yml")
}
