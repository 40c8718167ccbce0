package service_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker"
	"verdict/internal/check"
)

// TestSecuredKafka shows with a real cluster what other tests show with the embedded
// one of TLS, SASL, rights and check.
func TestSecuredKafka(t *testing.T) {
	k := startSecuredKafka(t)
	t.Run("works", k.testWhatWorks)
	t.Run("fails", k.testCauses)
	t.Run("no rights", k.testMissingRights)
	t.Run("a changed password", k.testChangedPassword)
}

// checkAll makes every check.
func checkAll(t *testing.T, cfg configs.Config) check.Findings {
	t.Helper()
	found, faults := check.Run(t.Context(), cfg, nil, check.Options{Timeout: 10 * time.Second})
	if len(faults) > 0 {
		t.Error(faults)
	}
	return found
}

// testWhatWorks shows for each way to log in that no check fails, and that a run
// carries a decision out.
func (k *securedKafka) testWhatWorks(t *testing.T) {
	works := map[string]configs.Config{"mutual TLS": k.config("SSL", k.withCertificate)}
	for _, m := range []configs.SASLMechanism{configs.SASLPlain, configs.SASLScramSHA256, configs.SASLScramSHA512} {
		works["TLS and "+string(m)] = k.config("SASL_SSL", k.withTLS, withSASL(m))
		works["plain text and "+string(m)] = k.config("SASL_PLAINTEXT", withSASL(m))
	}
	for name, cfg := range works {
		t.Run(name, func(t *testing.T) {
			for _, f := range checkAll(t, cfg) {
				if f.Status == check.Fail {
					t.Errorf("check: %+v", f)
				}
			}
			k.runOne(t, cfg)
		})
	}
}

// testCauses shows that check names the cause of each failed connection.
func (k *securedKafka) testCauses(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  configs.Config
		want broker.Cause
	}{
		"plain port":             {k.config("PLAINTEXT", k.withTLS), broker.CausePlainPort},
		"TLS port":               {k.config("SASL_SSL"), broker.CauseTLSPort},
		"authority":              {k.config("SASL_SSL", k.withTLS, func(c *configs.Config) { c.Kafka.TLS.CAFile = k.file("other.pem") }), broker.CauseAuthority},
		"host name":              {k.config("SASL_SSL", k.withTLS, func(c *configs.Config) { c.Kafka.TLS.ServerName = "kafka" }), broker.CauseHostname},
		"no client certificate":  {k.config("SSL", k.withTLS), broker.CauseClientCert},
		"no login wanted":        {k.config("PLAINTEXT", withSASL(configs.SASLPlain)), broker.CauseNoSASL},
		"login wanted":           {k.config("SASL_PLAINTEXT"), broker.CauseLoginWanted},
		"PLAIN password":         {k.config("SASL_SSL", k.withTLS, withSASL(configs.SASLPlain), wrongPassword), broker.CauseCredentials},
		"SCRAM-SHA-256 password": {k.config("SASL_PLAINTEXT", withSASL(configs.SASLScramSHA256), wrongPassword), broker.CauseCredentials},
		"SCRAM-SHA-512 password": {k.config("SASL_SSL", k.withTLS, withSASL(configs.SASLScramSHA512), wrongPassword), broker.CauseCredentials},
	} {
		t.Run(name, func(t *testing.T) {
			found := checkAll(t, c.cfg)
			i := slices.IndexFunc(found, func(f check.Finding) bool { return strings.HasPrefix(f.Name, "broker/") })
			if i < 0 || found[i].Status != check.Fail || !strings.HasPrefix(found[i].Detail, string(c.want)) || found[i].Hint == "" {
				t.Errorf("found %+v, want %q", found, c.want)
			}
		})
	}
}

// testMissingRights shows what check finds for a user without rights.
func (k *securedKafka) testMissingRights(t *testing.T) {
	cfg := k.config("SASL_SSL", k.withTLS, withSASL(configs.SASLScramSHA512))
	cfg.Kafka.SASL.Username = "nobody"
	found := make(map[string]check.Finding)
	for _, f := range checkAll(t, cfg) {
		found[f.Name] = f
	}
	topics := cfg.Kafka.Topics
	for name, want := range map[string]string{
		"topic/" + topics.Decisions: "this user may not describe it", "rights/read/" + topics.Decisions: "not allowed",
		"rights/write/" + topics.Results: "not allowed", "rights/group": "not allowed", "group": "this user may not describe verdict",
	} {
		if f := found[name]; f.Status != check.Fail || f.Detail != want || !strings.Contains(f.Hint, "give the Kafka user") {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// testChangedPassword shows that the file of the password is read at each login.
func (k *securedKafka) testChangedPassword(t *testing.T) {
	cfg := k.config("SASL_SSL", k.withTLS, withSASL(configs.SASLScramSHA256))
	file := k.file("password")
	cfg.Kafka.SASL.Password, cfg.Kafka.SASL.PasswordFile = configs.Secret{}, file
	if err := os.WriteFile(file, []byte("not yet\n"), 0o600); err != nil {
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
	if err := os.WriteFile(file, []byte(scramPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	probe, err := connection.OpenProbe(t.Context(), cfg.Kafka.Brokers[0])
	if err != nil {
		t.Fatal(err)
	}
	probe.Close()
}
