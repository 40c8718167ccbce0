package service_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl/plain"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker/embedded"
	"verdict/internal/cli"
	"verdict/internal/passfort/sandbox"
)

// The marked secrets, which are looked for in all that comes out of a process.
const (
	markedKey      = "MARKED-api-key-5d1e"
	markedPassword = "MARKED-password-77ab"
	markedWrong    = "MARKED-wrong-c09f"
)

// secretly is a secured Kafka and an API that both know the marked secrets, and
// everything that has come out of the commands that used them.
type secretly struct {
	t       *testing.T
	cluster *embedded.Cluster
	dir     string
	environ map[string]string
	private []string // lines of our private key

	mu  sync.Mutex
	out map[string]string // what came out, by where
}

func newSecretly(t *testing.T) *secretly {
	t.Helper()
	s := &secretly{t: t, dir: t.TempDir(), out: make(map[string]string)}
	authority, err := embedded.NewAuthority("Test authority")
	if err != nil {
		t.Fatal(err)
	}
	config, err := authority.Server(authority, time.Time{}, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	s.cluster, err = embedded.Start(embedded.Options{
		TLS: config, Topics: defaultTopics(1), Users: []embedded.User{{Mechanism: "PLAIN", Name: "verdict", Password: markedPassword}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.cluster.Close)
	api, err := sandbox.New(sandbox.Options{Key: markedKey, Fault: echoes})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	cert, key, err := authority.Issue(time.Time{}, "verdict")
	if err != nil {
		t.Fatal(err)
	}
	s.private = strings.Split(string(key), "\n")[1:3]
	s.environ = map[string]string{
		"VERDICT_KAFKA_BROKERS":          s.cluster.Addrs()[0],
		"VERDICT_KAFKA_TLS_ENABLED":      "true",
		"VERDICT_KAFKA_TLS_CA_FILE":      s.file("ca.pem", string(authority.PEM())),
		"VERDICT_KAFKA_TLS_CERT_FILE":    s.file("cert.pem", string(cert)),
		"VERDICT_KAFKA_TLS_KEY_FILE":     s.file("key.pem", string(key)),
		"VERDICT_KAFKA_SASL_MECHANISM":   "PLAIN",
		"VERDICT_KAFKA_SASL_USERNAME":    "verdict",
		"VERDICT_KAFKA_SASL_PASSWORD":    markedPassword,
		"VERDICT_API_BASE_URL":           server.URL + "/4.0",
		"VERDICT_API_KEY":                markedKey,
		"VERDICT_API_TIMEOUT":            "1s",
		"VERDICT_API_RATE_LIMIT":         "0",
		"VERDICT_ADMIN_ADDR":             "127.0.0.1:0",
		"VERDICT_ADMIN_PPROF":            "true",
		"VERDICT_LOG_LEVEL":              "debug",
		"VERDICT_PROCESSOR_MAX_ATTEMPTS": "2",
		"VERDICT_PROCESSOR_BACKOFF_MIN":  "1ms",
		"VERDICT_PROCESSOR_BACKOFF_MAX":  "2ms",
	}
	return s
}

func (s *secretly) file(name, text string) string {
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// echoes is an API that says the key in every place where it can, to a task by
// the last digit of its ID.
func echoes(c sandbox.Call) sandbox.Fault {
	f := sandbox.Fault{Do: sandbox.Answer, Body: `{"errors":[{"code":100,"message":"the key ` + c.Key + ` may not"}]}`}
	if c.TaskID == "" {
		return sandbox.Fault{}
	}
	switch c.TaskID[len(c.TaskID)-1] {
	case '1':
		f.Status = http.StatusBadRequest
	case '2':
		f.Status, f.Body = http.StatusInternalServerError, c.Key
	case '3':
		f.Status, f.Header = http.StatusFound, http.Header{"Location": {"https://elsewhere/?key=" + c.Key}}
	case '4':
		f.Status, f.Body = http.StatusOK, `{"id":"`+c.Key+`"}`
	case '5':
		f.Status = http.StatusForbidden
	case '6':
		f.Status, f.Body = http.StatusOK, c.Key
	case '7':
		return sandbox.Fault{Do: sandbox.Hang}
	case '8':
		return sandbox.Fault{Do: sandbox.Cut}
	default:
		return sandbox.Fault{}
	}
	return f
}

// keep keeps what came out of somewhere.
func (s *secretly) keep(where, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out[where] += text
}

// command runs one command line until it ends or ctx does.
func (s *secretly) command(ctx context.Context, log io.Writer, environ map[string]string, args ...string) int {
	merged := maps.Clone(s.environ)
	maps.Copy(merged, environ)
	var all []string
	for name, value := range merged {
		all = append(all, name+"="+value)
	}
	var out bytes.Buffer
	status := cli.Execute(ctx, args, cli.Process{In: strings.NewReader(""), Out: &out, Err: log, Environ: all})
	s.keep(fmt.Sprint("standard output of ", args, environ), out.String())
	return status
}

// service runs `verdict run` while use does; log gives what it has logged.
func (s *secretly) service(name string, environ map[string]string, use func(log func() string)) {
	s.t.Helper()
	ctx, stop := context.WithCancel(s.t.Context())
	var mu sync.Mutex
	var logs bytes.Buffer
	log := func() string {
		mu.Lock()
		defer mu.Unlock()
		return logs.String()
	}
	var running sync.WaitGroup
	running.Go(func() { s.command(ctx, &lockedWriter{mu: &mu, to: &logs}, environ, "run") })
	defer running.Wait()
	defer stop()
	use(log)
	stop()
	running.Wait()
	s.keep("logs of "+name, log())
}

// await waits until what is true; it fails the test after a minute.
func (s *secretly) await(what string, is func() bool) {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("after a minute still not: %s", what)
		}
	}
}

var adminAddrIn = regexp.MustCompile(`"admin":"([^"]+)"`)

// scrape keeps all that the admin server tells.
func (s *secretly) scrape(log string) {
	addr := adminAddrIn.FindStringSubmatch(log)
	if addr == nil {
		s.t.Fatal("the service has no admin server")
	}
	for _, path := range []string{
		"/", "/metrics", "/readyz", "/healthz", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/heap?debug=1", "/debug/pprof/allocs?debug=1",
		"/debug/pprof/goroutine?debug=1", "/debug/pprof/goroutine?debug=2", "/debug/pprof/block?debug=1", "/debug/pprof/heap", "/debug/pprof/goroutine",
	} {
		res, err := http.Get("http://" + addr[1] + path)
		if err != nil {
			s.t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			s.t.Fatal(err)
		}
		s.keep("the admin server's "+path, string(body))
	}
}

// check looks for every secret, in the forms in which it may be encoded.
func (s *secretly) check() {
	s.t.Helper()
	forms := append([]string{}, s.private...)
	for _, secret := range []string{markedKey, markedPassword, markedWrong} {
		forms = append(forms, secret, url.QueryEscape(secret), hex.EncodeToString([]byte(secret)))
		for shift := range 3 { // wherever it begins in what is encoded
			encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + secret))
			forms = append(forms, strings.TrimRight(encoded, "=")[4:len(encoded)-6])
		}
	}
	for where, text := range s.out {
		for _, form := range forms {
			if i := strings.Index(text, form); i >= 0 {
				s.t.Errorf("%s shows a secret: …%s…", where, text[max(0, i-100):min(len(text), i+100)])
			}
		}
	}
}

func (s *secretly) dialer() *kafka.Dialer {
	connection := configs.Default().Kafka
	connection.TLS = configs.TLS{
		Enabled: true, CAFile: s.environ["VERDICT_KAFKA_TLS_CA_FILE"],
		CertFile: s.environ["VERDICT_KAFKA_TLS_CERT_FILE"], KeyFile: s.environ["VERDICT_KAFKA_TLS_KEY_FILE"],
	}
	connection.Brokers = s.cluster.Addrs()
	connection.SASL = configs.SASL{Mechanism: configs.SASLPlain, Username: "verdict", Password: configs.NewSecret(markedPassword)}
	c, err := app.Connect(connection, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c.Dialer()
}

func TestNoFaultShowsASecret(t *testing.T) {
	s := newSecretly(t)
	topics := configs.Default().Kafka.Topics
	dialer := s.dialer()
	conn, err := dialer.DialLeader(t.Context(), "tcp", s.cluster.Addrs()[0], topics.Decisions, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	messages := []kafka.Message{{Value: []byte("not JSON")}, {Value: nil}}
	for i := range 10 {
		messages = append(messages, kafka.Message{Value: []byte(value(task(i, i), "COMPLETED_PASS"))})
	}
	if _, err := conn.WriteMessages(messages...); err != nil {
		t.Fatal(err)
	}

	s.service("a run that meets every fault of the API", nil, func(log func() string) {
		s.await("every decision is settled", func() bool {
			return s.cluster.HighWatermark(topics.Results, 0)+s.cluster.HighWatermark(topics.DeadLetters, 0) >= int64(len(messages))
		})
		s.scrape(log())
	})
	letters, err := readTopic(t.Context(), s.cluster, dialer, topics.DeadLetters)
	if err != nil || len(letters) < 8 {
		t.Fatalf("%d dead letters, %v", len(letters), err)
	}
	for _, d := range letters {
		s.keep("dead letters", fmt.Sprintf("%s %s %s\n", d.Key, d.Value, d.Headers))
	}
	// So that there is something to find: the API's words are in there.
	if !strings.Contains(s.out["dead letters"], "[redacted] may not") {
		t.Errorf("the API's words are not in the dead letters: %s", s.out["dead letters"])
	}

	s.service("a run with a refused key", map[string]string{"VERDICT_API_KEY": markedWrong}, func(log func() string) {
		if _, err := conn.WriteMessages(kafka.Message{Value: []byte(value(task(10, 10), "COMPLETED_PASS"))}); err != nil {
			t.Fatal(err)
		}
		s.await("the service is paused", func() bool { return strings.Contains(log(), "auth") })
		s.scrape(log())
	})
	s.service("a run with a wrong password", map[string]string{"VERDICT_KAFKA_SASL_PASSWORD": markedWrong}, func(log func() string) {
		s.await("Kafka fails", func() bool {
			return strings.Contains(log(), `"level":"WARN"`) || strings.Contains(log(), `"level":"ERROR"`)
		})
		s.scrape(log())
	})
	s.service("a run without its certificate", map[string]string{"VERDICT_KAFKA_TLS_CERT_FILE": "", "VERDICT_KAFKA_TLS_KEY_FILE": ""}, func(log func() string) {
		s.await("Kafka fails", func() bool {
			return strings.Contains(log(), `"level":"WARN"`) || strings.Contains(log(), `"level":"ERROR"`)
		})
	})
	s.check()
}

func TestNoCommandShowsASecret(t *testing.T) {
	s := newSecretly(t)
	rows := s.file("rows.csv", "profile_id,task_id,state\n00000001-aaaa-bbbb-cccc-000000000001,00000001-dddd-eeee-ffff-000000000001,COMPLETED_PASS\n")
	// What each command is given beside its flags of the configuration.
	args := map[string][]string{
		"check": {}, "run": {}, "topics": {}, "decide": {}, "redrive": {}, "version": nil,
		"submit": {rows}, "follow": {"batch"}, "explain": {"00000001-dddd-eeee-ffff-000000000001"},
		"demo":    nil,
		"sandbox": nil,
		"help":    nil, "completion": nil,
	}
	wrong := map[string]string{
		"VERDICT_API_KEY": markedWrong, "VERDICT_KAFKA_SASL_PASSWORD": markedWrong,
	}
	faulty := s.file("faulty.yaml", "api:\n  key: ["+markedKey+"]\n  keyy: "+markedKey+"\nkafka:\n  sasl:\n    password:\n      "+markedPassword+": x\n")
	for _, name := range commandNames(t) {
		if _, known := args[name]; !known {
			t.Errorf("verdict %s is not among the commands of this test", name)
		}
	}
	for name, own := range args {
		line := append([]string{name}, own...)
		for what, c := range map[string]struct {
			environ map[string]string
			flags   []string
		}{
			"help":                   {nil, []string{"--help"}},
			"unknown flag":           {nil, []string{"--api-keyy=" + "x"}},
			"right secrets":          {nil, nil},
			"right secrets, JSON":    {nil, []string{"--json"}},
			"wrong secrets":          {wrong, nil},
			"secrets as flags":       {nil, []string{"--api-key", markedWrong, "--kafka-sasl-password", markedWrong}},
			"secrets twice":          {map[string]string{"VERDICT_API_KEY_FILE": "x", "VERDICT_KAFKA_SASL_PASSWORD_FILE": "x"}, nil},
			"a broken key":           {map[string]string{"VERDICT_API_KEY": markedKey + "\n" + markedKey}, nil},
			"a key in another place": {map[string]string{"VERDICT_API_BASE_URL": "https://" + markedKey + "@host/4.0", "VERDICT_API_KEYY": markedKey}, nil},
			"a password in brokers":  {map[string]string{"VERDICT_KAFKA_BROKERS": "verdict:" + markedPassword + "@kafka"}, nil},
			"a faulty file":          {nil, []string{"--config", faulty}},
		} {
			// Long enough for what ends by itself; the rest ends with it.
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			var log bytes.Buffer
			s.command(ctx, &log, c.environ, append(append([]string{}, line...), c.flags...)...)
			cancel()
			s.keep(fmt.Sprintf("standard error of %s with %s", name, what), log.String())
		}
	}
	s.check()
}

// commandNames returns the commands of `verdict`, as shell completion lists them.
func commandNames(t *testing.T) []string {
	t.Helper()
	var out bytes.Buffer
	if status := cli.Execute(t.Context(), []string{"__complete", ""}, cli.Process{In: strings.NewReader(""), Out: &out, Err: io.Discard}); status != cli.ExitDone {
		t.Fatalf("__complete: exit status %d", status)
	}
	var names []string
	for line := range strings.Lines(out.String()) {
		if name, _, isCommand := strings.Cut(line, "\t"); isCommand {
			names = append(names, name)
		}
	}
	if len(names) < 10 {
		t.Fatalf("only %d commands: %q", len(names), out.String())
	}
	return names
}

// The look for secrets finds them.
func TestAShownSecretIsFound(t *testing.T) {
	for name, text := range map[string]string{
		"plain":  markedKey,
		"SASL":   base64.StdEncoding.EncodeToString(sasl(t, markedPassword)),
		"hex":    hex.EncodeToString([]byte(markedWrong)),
		"struct": fmt.Sprintf("%+v", plain.Mechanism{Username: "u", Password: markedPassword}),
	} {
		probe := &testing.T{}
		s := &secretly{t: probe, out: map[string]string{"x": "before " + text + " after"}}
		s.check()
		if !probe.Failed() {
			t.Errorf("%s: not found", name)
		}
	}
}

func sasl(t *testing.T, password string) []byte {
	_, first, err := plain.Mechanism{Username: "u", Password: password}.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return first
}
