package service_test

import (
	"bytes"
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
	"verdict/internal/passfort/sandbox"
)

// securedKafka is a real cluster with TLS, SASL and rights, and the sandbox API.
type securedKafka struct {
	dir       string            // has the files that writeCertificates writes
	listeners map[string]string // by their name in kafka.sh, such as SASL_SSL
	admin     *broker.Connection
	api       *sandbox.Sandbox
	base      configs.Config // the defaults, with the API
}

// The passwords of the users.
const (
	scramPassword = "scram-secret"
	plainPassword = "plain-secret" // in kafka.sh
)

// startSecuredKafka starts the cluster, with the topics that `run` needs. The user
// verdict has the rights that `run` needs, the user nobody has none.
func startSecuredKafka(t *testing.T) *securedKafka {
	t.Helper()
	if os.Getenv("VERDICT_TEST_BROKERS") == "" {
		t.Skip("needs Java 17 and Maven: VERDICT_TEST_BROKERS=own go test -run SecuredKafka ./test/service")
	}
	k := &securedKafka{dir: t.TempDir(), listeners: make(map[string]string), base: configs.Default()}
	k.writeCertificates(t)
	k.startBroker(t)
	var err error
	if k.admin, err = broker.NewConnection(broker.Options{Brokers: []string{k.listeners["PLAINTEXT"]}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.admin.Close)
	if k.api, err = sandbox.New(sandbox.Options{Key: apiKey}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(k.api)
	t.Cleanup(server.Close)
	k.base.API.BaseURL, k.base.API.Key, k.base.Admin.Addr = server.URL+"/4.0", configs.NewSecret(apiKey), ""

	topics := k.base.Kafka.Topics
	var planned []broker.Topic
	for _, topic := range app.PlanTopics(topics) {
		planned = append(planned, topic.Topic(2, 1))
	}
	if _, err := broker.Create(t.Context(), k.admin.Client(), planned); err != nil {
		t.Fatal(err)
	}
	k.setPassword(t, "verdict", scramPassword)
	k.setPassword(t, "nobody", scramPassword)
	for _, topic := range topics.Inputs() {
		k.allow(t, "verdict", kafka.ResourceTypeTopic, topic, kafka.ACLOperationTypeRead)
	}
	for _, topic := range []string{topics.Results, topics.DeadLetters} {
		k.allow(t, "verdict", kafka.ResourceTypeTopic, topic, kafka.ACLOperationTypeWrite)
	}
	k.allow(t, "verdict", kafka.ResourceTypeGroup, "verdict", kafka.ACLOperationTypeRead)
	return k
}

// writeCertificates writes ca.pem (the authority of the brokers), cert.pem and key.pem
// (the client's), other.pem (another authority), and what the brokers need in server.
func (k *securedKafka) writeCertificates(t *testing.T) {
	t.Helper()
	write := func(name string, parts ...[]byte) {
		if err := os.WriteFile(k.file(name), bytes.Join(parts, nil), 0o600); err != nil {
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
	brokers, clients, other := authority(), authority(), authority()
	cert, key, err := brokers.Issue(time.Time{}, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(k.file("server"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("server/server.pem", key, cert)
	write("server/ca.pem", clients.PEM())
	write("ca.pem", brokers.PEM())
	write("other.pem", other.PEM())
	if cert, key, err = clients.Issue(time.Time{}, "verdict"); err != nil {
		t.Fatal(err)
	}
	write("cert.pem", cert)
	write("key.pem", key)
}

// file returns the path of a file in k.dir.
func (k *securedKafka) file(name string) string { return filepath.Join(k.dir, name) }

// startBroker starts Kafka and learns its listeners.
func (k *securedKafka) startBroker(t *testing.T) {
	t.Helper()
	data := k.file("data")
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
	k.listeners["PLAINTEXT"] = script("start", "--secure", k.file("server"))
	lines, err := os.ReadFile(filepath.Join(data, "node-1", "listeners"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(lines)) {
		name, addr, _ := strings.Cut(strings.TrimSpace(line), " ")
		k.listeners[name] = addr
	}
}

// setPassword creates a SCRAM user, or changes its password.
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
	// A request may alter a user only once.
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

// allow gives a user rights to a resource.
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

// config returns the configuration for a listener, changed by change.
func (k *securedKafka) config(listener string, change ...func(*configs.Config)) configs.Config {
	cfg := k.base
	cfg.Kafka.Brokers = []string{k.listeners[listener]}
	for _, c := range change {
		c(&cfg)
	}
	return cfg
}

// withTLS, withCertificate, withSASL and wrongPassword change a configuration.
func (k *securedKafka) withTLS(cfg *configs.Config) {
	cfg.Kafka.TLS = configs.TLS{Enabled: true, CAFile: k.file("ca.pem")}
}

func (k *securedKafka) withCertificate(cfg *configs.Config) {
	k.withTLS(cfg)
	cfg.Kafka.TLS.CertFile, cfg.Kafka.TLS.KeyFile = k.file("cert.pem"), k.file("key.pem")
}

func withSASL(mechanism configs.SASLMechanism) func(*configs.Config) {
	return func(cfg *configs.Config) {
		password := scramPassword
		if mechanism == configs.SASLPlain {
			password = plainPassword
		}
		cfg.Kafka.SASL = configs.SASL{Mechanism: mechanism, Username: "verdict", Password: configs.NewSecret(password)}
	}
}

func wrongPassword(cfg *configs.Config) { cfg.Kafka.SASL.Password = configs.NewSecret("wrong") }

// runOne runs the service until it has carried out one decision.
func (k *securedKafka) runOne(t *testing.T, cfg configs.Config) {
	t.Helper()
	before := k.api.Stats().Completions
	id := int(before) + 1
	rec := decisionOn(cfg.Kafka.Topics.Decisions, task(id, id), decision.CompletedPass)
	if _, err := produce(t.Context(), k.admin, place{topic: rec.topic}, kafka.Record{
		Key: kafka.NewBytes([]byte(rec.key)), Value: kafka.NewBytes([]byte(rec.value)),
	}); err != nil {
		t.Fatal(err)
	}
	var logs bytes.Buffer // written until ended has a value
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
	if n := k.api.Stats().Completions; n != before+1 {
		t.Errorf("%d completions, want one more than %d; logs:\n%s", n, before, logs.String())
	}
	for _, secret := range []string{scramPassword, plainPassword} {
		if strings.Contains(logs.String(), secret) {
			t.Errorf("the logs have the password: %s", logs.String())
		}
	}
}
