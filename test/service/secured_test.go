package service_test

import (
	"bytes"
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/check"
	"verdict/internal/decision"
	"verdict/internal/passfort/sandbox"
)

// securedKafka is a real cluster with TLS, SASL and rights, for the tests in
// this file alone.
type securedKafka struct {
	dir       string            // ca.pem (who signs the brokers), cert.pem and key.pem (ours), other.pem (a stranger)
	listeners map[string]string // by their name in kafka.sh; PLAINTEXT too
	admin     *broker.Connection
}

func startSecuredKafka(t *testing.T) *securedKafka {
	t.Helper()
	if os.Getenv("VERDICT_TEST_BROKERS") == "" {
		t.Skip("needs Java 17 and Maven: VERDICT_TEST_BROKERS=own go test -run SecuredKafka ./cmd/verdict")
	}
	k := &securedKafka{dir: t.TempDir(), listeners: make(map[string]string)}
	write := func(name string, parts ...[]byte) {
		if err := os.WriteFile(filepath.Join(k.dir, name), bytes.Join(parts, nil), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	authority := func() *embedded.Authority {
		a, err := embedded.NewAuthority("Test authority")
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	brokers, clients, stranger := authority(), authority(), authority()
	cert, key, err := brokers.Issue(time.Time{}, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	secure := filepath.Join(k.dir, "server")
	if err := os.Mkdir(secure, 0o700); err != nil {
		t.Fatal(err)
	}
	write("server/server.pem", key, cert)
	write("server/ca.pem", clients.PEM())
	write("ca.pem", brokers.PEM())
	write("other.pem", stranger.PEM())
	if cert, key, err = clients.Issue(time.Time{}, "verdict"); err != nil {
		t.Fatal(err)
	}
	write("cert.pem", cert)
	write("key.pem", key)

	data := filepath.Join(k.dir, "data")
	script := func(args ...string) string {
		cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "../../test/kafka/kafka.sh", append(args, "--data", data)...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("kafka.sh %v: %v\n%s", args, err, stderr.String())
		}
		return strings.TrimSpace(string(out))
	}
	t.Cleanup(func() { script("stop") })
	k.listeners["PLAINTEXT"] = script("start", "--secure", secure)
	lines, err := os.ReadFile(filepath.Join(data, "node-1", "listeners"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(lines)) {
		name, addr, _ := strings.Cut(strings.TrimSpace(line), " ")
		k.listeners[name] = addr
	}
	if k.admin, err = broker.NewConnection(broker.Options{Brokers: []string{k.listeners["PLAINTEXT"]}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.admin.Close)
	return k
}

// setPassword makes a SCRAM user, or gives the user another password.
func (k *securedKafka) setPassword(t *testing.T, user, password string) {
	t.Helper()
	const iterations = 4096
	salt := []byte("0123456789abcdef")
	salted := func(h func() hash.Hash, size int) []byte {
		key, err := pbkdf2.Key(h, password, salt, iterations, size)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	// One after the other: a user may be altered once in a request.
	for _, u := range []kafka.UserScramCredentialsUpsertion{
		{Mechanism: kafka.ScramMechanismSha256, SaltedPassword: salted(sha256.New, sha256.Size)},
		{Mechanism: kafka.ScramMechanismSha512, SaltedPassword: salted(sha512.New, sha512.Size)},
	} {
		u.Name, u.Iterations, u.Salt = user, iterations, salt
		answer, err := k.admin.Client().AlterUserScramCredentials(t.Context(), &kafka.AlterUserScramCredentialsRequest{
			Upsertions: []kafka.UserScramCredentialsUpsertion{u},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range answer.Results {
			if r.Error != nil {
				t.Fatal(r.Error)
			}
		}
	}
}

// allow gives a user these rights to resources of one kind.
func (k *securedKafka) allow(t *testing.T, user string, kind kafka.ResourceType, name string, operations ...kafka.ACLOperationType) {
	t.Helper()
	var acls []kafka.ACLEntry
	for _, operation := range operations {
		acls = append(acls, kafka.ACLEntry{
			ResourceType: kind, ResourceName: name, ResourcePatternType: kafka.PatternTypeLiteral,
			Principal: "User:" + user, Host: "*", Operation: operation, PermissionType: kafka.ACLPermissionTypeAllow,
		})
	}
	answer, err := k.admin.Client().CreateACLs(t.Context(), &kafka.CreateACLsRequest{ACLs: acls})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range answer.Errors {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestSecuredKafka shows on a real cluster what the tests on the embedded one
// show of TLS, SASL, rights and check.
func TestSecuredKafka(t *testing.T) {
	k := startSecuredKafka(t)
	api, err := sandbox.New(sandbox.Options{Key: apiKey})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api)
	defer server.Close()
	base := configs.Default()
	base.API.BaseURL, base.API.Key, base.Admin.Addr = server.URL+"/4.0", configs.NewSecret(apiKey), ""
	var planned []broker.Topic
	for _, topic := range app.PlanTopics(base.Kafka.Topics) {
		planned = append(planned, topic.Topic(2, 1))
	}
	if _, err := broker.Create(t.Context(), k.admin.Client(), planned); err != nil {
		t.Fatal(err)
	}
	k.setPassword(t, "verdict", "scram-secret")
	k.setPassword(t, "nobody", "scram-secret")
	topics := base.Kafka.Topics
	for _, topic := range []string{topics.Decisions, topics.Backfill} {
		k.allow(t, "verdict", kafka.ResourceTypeTopic, topic, kafka.ACLOperationTypeRead)
	}
	for _, topic := range []string{topics.Results, topics.DeadLetters} {
		k.allow(t, "verdict", kafka.ResourceTypeTopic, topic, kafka.ACLOperationTypeWrite)
	}
	k.allow(t, "verdict", kafka.ResourceTypeGroup, "verdict", kafka.ACLOperationTypeRead)

	file := func(name string) string { return filepath.Join(k.dir, name) }
	withTLS := func(cfg *configs.Config) { cfg.Kafka.TLS = configs.TLS{Enabled: true, CAFile: file("ca.pem")} }
	withCert := func(cfg *configs.Config) {
		withTLS(cfg)
		cfg.Kafka.TLS.CertFile, cfg.Kafka.TLS.KeyFile = file("cert.pem"), file("key.pem")
	}
	withSASL := func(mechanism configs.SASLMechanism) func(*configs.Config) {
		return func(cfg *configs.Config) {
			password := "scram-secret"
			if mechanism == configs.SASLPlain {
				password = "plain-secret"
			}
			cfg.Kafka.SASL = configs.SASL{Mechanism: mechanism, Username: "verdict", Password: configs.NewSecret(password)}
		}
	}
	at := func(listener string, changes ...func(*configs.Config)) configs.Config {
		cfg := base
		cfg.Kafka.Brokers = []string{k.listeners[listener]}
		for _, change := range changes {
			change(&cfg)
		}
		return cfg
	}
	look := func(cfg configs.Config) check.Findings {
		found, faults := check.Run(t.Context(), cfg, nil, check.Options{Timeout: 10 * time.Second})
		if len(faults) > 0 {
			t.Error(faults)
		}
		return found
	}

	// What works, works wholly: check says so, and a run carries decisions out.
	works := map[string]configs.Config{"mutual TLS": at("SSL", withCert)}
	for _, m := range []configs.SASLMechanism{configs.SASLPlain, configs.SASLScramSHA256, configs.SASLScramSHA512} {
		works["TLS and "+string(m)] = at("SASL_SSL", withTLS, withSASL(m))
		works["plain text and "+string(m)] = at("SASL_PLAINTEXT", withSASL(m))
	}
	for name, cfg := range works {
		t.Run(name, func(t *testing.T) {
			for _, f := range look(cfg) {
				if f.Status == check.Fail {
					t.Errorf("check: %+v", f)
				}
			}
			k.runOne(t, cfg, api)
		})
	}

	// What fails, fails with its cause.
	for _, c := range []struct {
		name string
		cfg  configs.Config
		want broker.Cause
	}{
		{"plain port", at("PLAINTEXT", withTLS), broker.CausePlainPort},
		{"TLS port", at("SASL_SSL"), broker.CauseTLSPort},
		{"authority", at("SASL_SSL", withTLS, func(c *configs.Config) { c.Kafka.TLS.CAFile = file("other.pem") }), broker.CauseAuthority},
		{"host name", at("SASL_SSL", withTLS, func(c *configs.Config) { c.Kafka.TLS.ServerName = "kafka" }), broker.CauseHostname},
		{"no certificate of ours", at("SSL", withTLS), broker.CauseClientCert},
		{"no login wanted", at("PLAINTEXT", withSASL(configs.SASLPlain)), broker.CauseNoSASL},
		{"login wanted", at("SASL_PLAINTEXT"), broker.CauseLoginWanted},
		{"PLAIN password", at("SASL_SSL", withTLS, withSASL(configs.SASLPlain), wrongPassword), broker.CauseCredentials},
		{"SCRAM-SHA-256 password", at("SASL_PLAINTEXT", withSASL(configs.SASLScramSHA256), wrongPassword), broker.CauseCredentials},
		{"SCRAM-SHA-512 password", at("SASL_SSL", withTLS, withSASL(configs.SASLScramSHA512), wrongPassword), broker.CauseCredentials},
	} {
		t.Run(c.name, func(t *testing.T) {
			found := look(c.cfg)
			i := slices.IndexFunc(found, func(f check.Finding) bool { return strings.HasPrefix(f.Name, "broker/") })
			if i < 0 || found[i].Status != check.Fail || !strings.HasPrefix(found[i].Detail, string(c.want)) || found[i].Hint == "" {
				t.Errorf("found %+v, want %q", found, c.want)
			}
		})
	}

	t.Run("no rights", func(t *testing.T) {
		cfg := at("SASL_SSL", withTLS, withSASL(configs.SASLScramSHA512))
		cfg.Kafka.SASL.Username = "nobody"
		status := make(map[string]check.Finding)
		for _, f := range look(cfg) {
			status[f.Name] = f
		}
		for name, want := range map[string]string{
			"topic/" + topics.Decisions: "may not be described", "rights/read/" + topics.Decisions: "not allowed",
			"rights/write/" + topics.Results: "not allowed", "rights/group": "not allowed", "group": "verdict may not be described",
		} {
			if f := status[name]; f.Status != check.Fail || f.Detail != want || !strings.Contains(f.Hint, "give the Kafka user") {
				t.Errorf("%s: %+v", name, f)
			}
		}
	})

	t.Run("a changed password", func(t *testing.T) {
		cfg := at("SASL_SSL", withTLS, withSASL(configs.SASLScramSHA256))
		cfg.Kafka.SASL.Password, cfg.Kafka.SASL.PasswordFile = configs.Secret{}, file("password")
		if err := os.WriteFile(file("password"), []byte("not yet\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		connection, err := app.Connect(cfg.Kafka, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		if _, err := connection.OpenProbe(t.Context(), cfg.Kafka.Brokers[0]); err == nil {
			t.Error("logged in with the wrong password")
		}
		if err := os.WriteFile(file("password"), []byte("scram-secret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		probe, err := connection.OpenProbe(t.Context(), cfg.Kafka.Brokers[0])
		if err != nil {
			t.Fatal(err)
		}
		probe.Close()
	})
}

func wrongPassword(cfg *configs.Config) { cfg.Kafka.SASL.Password = configs.NewSecret("wrong") }

// runOne lets a run carry one decision out.
func (k *securedKafka) runOne(t *testing.T, cfg configs.Config, api *sandbox.Sandbox) {
	t.Helper()
	before := api.Stats().Completions
	id := int(before) + 1
	rec := decide(cfg.Kafka.Topics.Decisions, task(id, id), "COMPLETED_PASS")
	answer, err := k.admin.Client().Produce(t.Context(), &kafka.ProduceRequest{
		Topic: rec.topic, RequiredAcks: kafka.RequireAll,
		Records: kafka.NewRecordReader(kafka.Record{Key: kafka.NewBytes([]byte(rec.key)), Value: kafka.NewBytes([]byte(rec.value))}),
	})
	if err == nil {
		err = answer.Error
	}
	if err != nil {
		t.Fatal(err)
	}
	var logs bytes.Buffer
	registry := prometheus.NewRegistry()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- app.Run(ctx, cfg, app.Options{Log: slog.New(slog.NewTextHandler(&logs, nil)), Registry: registry})
	}()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for ctx.Err() == nil && seriesSum(t, registry, "verdict_decisions_total", "outcome", string(decision.Completed)) < 1 {
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := api.Stats().Completions; n != before+1 {
		t.Errorf("%d completions, want one more than %d; logs:\n%s", n, before, logs.String())
	}
	for _, secret := range []string{"scram-secret", "plain-secret"} {
		if strings.Contains(logs.String(), secret) {
			t.Error(fmt.Sprint("the logs hold the password: ", logs.String()))
		}
	}
}
