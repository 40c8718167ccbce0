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
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker/embedded"
	"verdict/internal/cli"
	"verdict/internal/passfort/sandbox"
)

// The marked secrets.
const (
	markedKey      = "MARKED-api-key-5d1e"
	markedPassword = "MARKED-password-77ab"
	markedWrong    = "MARKED-wrong-c09f"
)

// markedPerson stands for what the API's answers say about people. It may be in dead
// letters only.
const markedPerson = "MARKED-person-e81c"

// leakTest is a secured Kafka and an API with the marked secrets, and everything that
// commands that use them have written or served.
type leakTest struct {
	t       *testing.T
	cluster *embedded.Cluster
	dir     string
	environ map[string]string
	private []string // lines of the client's private key

	mu  sync.Mutex
	out map[string]string // by where it was written or served
}

func newLeakTest(t *testing.T) *leakTest {
	t.Helper()
	s := &leakTest{t: t, dir: t.TempDir(), out: make(map[string]string)}
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
		"VERDICT_PROCESSOR_PATIENCE":     "0s",
		"VERDICT_PROCESSOR_BACKOFF_MIN":  "1ms",
		"VERDICT_PROCESSOR_BACKOFF_MAX":  "2ms",
	}
	return s
}

// file writes a file and returns its path.
func (s *leakTest) file(name, text string) string {
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// echoes answers with the API key and a person's name in every place where an answer can
// have them, by the last digit of the task's ID.
func echoes(c sandbox.Call) sandbox.Fault {
	f := sandbox.Fault{Do: sandbox.Answer, Body: `{"errors":[{"code":100,"message":"the key ` + c.Key + ` may not see ` + markedPerson + `"}]}`}
	if c.TaskID == "" {
		return sandbox.Fault{}
	}
	switch c.TaskID[len(c.TaskID)-1] {
	case '1':
		f.Status = http.StatusBadRequest
	case '2':
		f.Status, f.Body = http.StatusInternalServerError, c.Key+" "+markedPerson
	case '3':
		f.Status, f.Header = http.StatusFound, http.Header{"Location": {"https://elsewhere/?key=" + c.Key + "&for=" + markedPerson}}
	case '4':
		f.Status, f.Body = http.StatusOK, `{"id":"`+c.TaskID+`","state":"`+c.Key+markedPerson+`"}`
	case '5':
		f.Status = http.StatusForbidden
	case '6':
		f.Status, f.Body = http.StatusOK, c.Key+" "+markedPerson
	case '7':
		return sandbox.Fault{Do: sandbox.Hang}
	case '8':
		return sandbox.Fault{Do: sandbox.Cut}
	case '9':
		f.Status, f.Body = http.StatusNotFound, `{"message":"`+c.Key+" "+markedPerson+`"}`
	default:
		return sandbox.Fault{}
	}
	return f
}

// record adds what was written or served somewhere.
func (s *leakTest) record(where, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out[where] += text
}

// command runs one command line until it ends or ctx does.
func (s *leakTest) command(ctx context.Context, log io.Writer, environ map[string]string, args ...string) int {
	merged := maps.Clone(s.environ)
	maps.Copy(merged, environ)
	var all []string
	for name, value := range merged {
		all = append(all, name+"="+value)
	}
	var out bytes.Buffer
	status := cli.Execute(ctx, args, cli.Process{In: strings.NewReader(""), Out: &out, Err: log, Environ: all})
	s.record(fmt.Sprint("standard output of ", args, environ), out.String())
	return status
}

// whileRunning runs `verdict run` until use returns. log returns the log so far.
func (s *leakTest) whileRunning(name string, environ map[string]string, use func(log func() string)) {
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
	s.record("logs of "+name, log())
}

// await waits until done reports true. It fails the test after a minute.
func (s *leakTest) await(what string, done func() bool) {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("after a minute still not: %s", what)
		}
	}
}

// scrape records every page of the admin server.
func (s *leakTest) scrape(log string) {
	addr := adminAddr(log)
	if addr == "" {
		s.t.Fatal("the log names no admin server")
	}
	for _, path := range []string{
		"/", "/metrics", "/readyz", "/healthz", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/heap?debug=1", "/debug/pprof/allocs?debug=1",
		"/debug/pprof/goroutine?debug=1", "/debug/pprof/goroutine?debug=2", "/debug/pprof/block?debug=1", "/debug/pprof/heap", "/debug/pprof/goroutine",
	} {
		res, err := http.Get("http://" + addr + path)
		if err != nil {
			s.t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			s.t.Fatal(err)
		}
		s.record("the admin server's "+path, string(body))
	}
}

// deadLetters is the name of the dead letters among what was written.
const deadLetters = "dead letters"

// checkNoLeak searches for every secret, in each form in which it may be encoded.
func (s *leakTest) checkNoLeak() {
	s.t.Helper()
	forms := append([]string{}, s.private...)
	for _, secret := range []string{markedKey, markedPassword, markedWrong} {
		forms = append(forms, secret, url.QueryEscape(secret), hex.EncodeToString([]byte(secret)))
		for shift := range 3 { // for each position in the encoded text
			encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + secret))
			forms = append(forms, strings.TrimRight(encoded, "=")[4:len(encoded)-6])
		}
	}
	for where, text := range s.out {
		if where != deadLetters && strings.Contains(text, markedPerson) {
			i := strings.Index(text, markedPerson)
			s.t.Errorf("%s has the text of an answer: …%s…", where, text[max(0, i-100):min(len(text), i+100)])
		}
		for _, form := range forms {
			if i := strings.Index(text, form); i >= 0 {
				s.t.Errorf("%s shows a secret: …%s…", where, text[max(0, i-100):min(len(text), i+100)])
			}
		}
	}
}

// dialer returns a dialer for the secured Kafka.
func (s *leakTest) dialer() *kafka.Dialer {
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
