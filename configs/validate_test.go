package configs

import (
	"math"
	"strings"
	"testing"
	"time"

	"verdict/internal/decision"
)

// rules are changes to a valid configuration. fault is the beginning of the one fault
// that results, or empty if the configuration stays valid.
var rules = []struct {
	name   string
	change func(*Config)
	fault  string
}{
	{"no broker", func(c *Config) { c.Kafka.Brokers = nil }, "kafka.brokers: is empty"},
	{"broker without a port", func(c *Config) { c.Kafka.Brokers = []string{"a:1", "kafka"} }, `kafka.brokers: contains "kafka"`},
	{"broker without a host", func(c *Config) { c.Kafka.Brokers = []string{":9092"} }, `kafka.brokers: contains ":9092"`},
	{"broker as a URL", func(c *Config) { c.Kafka.Brokers = []string{"kafka://a:9092"} }, `kafka.brokers: contains "kafka://a:9092"`},
	{"broker with port 0", func(c *Config) { c.Kafka.Brokers = []string{"a:0"} }, `kafka.brokers: contains "a:0"`},
	{"broker with port 65536", func(c *Config) { c.Kafka.Brokers = []string{"a:65536"} }, `kafka.brokers: contains "a:65536"`},
	{"broker by IPv6", func(c *Config) { c.Kafka.Brokers = []string{"[::1]:9092"} }, ""},
	{"no group", func(c *Config) { c.Kafka.GroupID = "" }, "kafka.group_id: is empty"},
	{"no client ID", func(c *Config) { c.Kafka.ClientID = "" }, ""},
	{"start offset", func(c *Config) { c.Kafka.StartOffset = "first" }, `kafka.start_offset: is "first"; want one of earliest, latest`},
	{"commit interval too short", func(c *Config) { c.Kafka.CommitInterval = time.Microsecond }, "kafka.commit_interval: is 1µs; want 1ms or more"},
	{"no span", func(c *Config) { c.Kafka.MaxUncommitted = 0 }, "kafka.max_uncommitted: is 0; want 1 to 1000000"},
	{"largest span", func(c *Config) { c.Kafka.MaxUncommitted = 1_000_000 }, ""},
	{"span too large", func(c *Config) { c.Kafka.MaxUncommitted = 1_000_001 }, "kafka.max_uncommitted: is 1000001"},
	{"no session timeout", func(c *Config) { c.Kafka.SessionTimeout = 0 }, "kafka.session_timeout: is 0s"},
	{"rebalance timeout too long", func(c *Config) { c.Kafka.RebalanceTimeout = 25 * time.Hour }, "kafka.rebalance_timeout: is 25h0m0s"},
	{"draining just in time", func(c *Config) { c.Processor.ShutdownTimeout = 27*time.Second - 1 }, ""},
	{"draining longer than a session", func(c *Config) {
		c.Processor.ShutdownTimeout, c.Kafka.RebalanceTimeout = 27*time.Second, time.Minute
	}, "processor.shutdown_timeout: is 27s, too long for kafka.session_timeout (30s)"},
	{"draining longer than a rebalance", func(c *Config) {
		c.Processor.ShutdownTimeout, c.Kafka.SessionTimeout = 27*time.Second, time.Minute
	}, "processor.shutdown_timeout: is 27s, too long for kafka.rebalance_timeout (30s)"},

	{"no decisions topic", func(c *Config) { c.Kafka.Topics.Decisions = "" }, "kafka.topics.decisions: is empty"},
	{"no backfill topic", func(c *Config) { c.Kafka.Topics.Backfill = "" }, ""},
	{"topic with a space", func(c *Config) { c.Kafka.Topics.Results = "a b" }, `kafka.topics.results: is "a b"; want a Kafka topic`},
	{"topic of one dot", func(c *Config) { c.Kafka.Topics.Results = "." }, `kafka.topics.results: is "."`},
	{"topic of two dots", func(c *Config) { c.Kafka.Topics.DeadLetters = ".." }, `kafka.topics.dead_letters: is ".."`},
	{"longest topic", func(c *Config) { c.Kafka.Topics.Results = strings.Repeat("a", 249) }, ""},
	{"topic too long", func(c *Config) { c.Kafka.Topics.Results = strings.Repeat("a", 250) }, "kafka.topics.results: is "},
	{"one topic twice", func(c *Config) { c.Kafka.Topics.CheckResults = "task-results" }, `kafka.topics.check_results: is "task-results", the same as kafka.topics.results`},

	{"mutual TLS", func(c *Config) { c.Kafka.TLS = TLS{Enabled: true, CertFile: "c", KeyFile: "k"} }, ""},
	{"certificate without its key", func(c *Config) { c.Kafka.TLS = TLS{Enabled: true, CertFile: "c"} }, "kafka.tls.cert_file: is set without kafka.tls.key_file"},
	{"key without its certificate", func(c *Config) { c.Kafka.TLS = TLS{Enabled: true, KeyFile: "k"} }, "kafka.tls.key_file: is set without kafka.tls.cert_file"},
	{"TLS set and not enabled", func(c *Config) { c.Kafka.TLS.CAFile = "ca" }, "kafka.tls.ca_file: is set, but TLS is off"},
	{"SASL", func(c *Config) { c.Kafka.SASL = SASL{Mechanism: SASLPlain, Username: "u", PasswordFile: "f"} }, ""},
	{"SASL mechanism", func(c *Config) { c.Kafka.SASL = SASL{Mechanism: "plain", Username: "u", PasswordFile: "f"} }, `kafka.sasl.mechanism: is "plain"; want one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or empty`},
	{"SASL without a user", func(c *Config) { c.Kafka.SASL = SASL{Mechanism: SASLPlain, Password: NewSecret("p")} }, "kafka.sasl.username: is empty"},
	{"SASL without a password", func(c *Config) { c.Kafka.SASL = SASL{Mechanism: SASLScramSHA256, Username: "u"} }, "kafka.sasl.password: is not set"},
	{"SASL with two passwords", func(c *Config) {
		c.Kafka.SASL = SASL{Mechanism: SASLScramSHA512, Username: "u", Password: NewSecret("p"), PasswordFile: "f"}
	}, "kafka.sasl.password: is set together with kafka.sasl.password_file"},
	{"SASL user without a mechanism", func(c *Config) { c.Kafka.SASL.Username = "u" }, "kafka.sasl.username: is set without kafka.sasl.mechanism"},

	{"API of another region", func(c *Config) { c.API.BaseURL = "https://api.example.com:8443/4.0/" }, ""},
	{"http to localhost", func(c *Config) { c.API.BaseURL = "http://LOCALHOST:8081/4.0" }, ""},
	{"http to 127.0.0.0/8", func(c *Config) { c.API.BaseURL = "http://127.9.9.9:8081" }, ""},
	{"http to ::1", func(c *Config) { c.API.BaseURL = "http://[::1]:8081" }, ""},
	{"http elsewhere", func(c *Config) { c.API.BaseURL = "http://sandbox:8081" }, "api.base_url: is plain http to another machine"},
	{"http to a name that begins like loopback", func(c *Config) { c.API.BaseURL = "http://127.0.0.1.example.com" }, "api.base_url: is plain http to another machine"},
	{"http elsewhere, allowed", func(c *Config) { c.API.BaseURL, c.API.AllowHTTP = "http://sandbox:8081", true }, ""},
	{"no base URL", func(c *Config) { c.API.BaseURL = "" }, "api.base_url: is not an https URL with a host"},
	{"another scheme", func(c *Config) { c.API.BaseURL = "ftp://host" }, "api.base_url: is not an https URL with a host"},
	{"no host", func(c *Config) { c.API.BaseURL = "https://:443/4.0" }, "api.base_url: is not an https URL with a host"},
	{"URL that does not parse", func(c *Config) { c.API.BaseURL = "https://host:port" }, "api.base_url: is not a URL"},
	{"port out of range", func(c *Config) { c.API.BaseURL = "https://host:99999" }, "api.base_url: has an invalid port"},
	{"userinfo", func(c *Config) { c.API.BaseURL = "https://me@host" }, "api.base_url: contains a user name or password"},
	{"query", func(c *Config) { c.API.BaseURL = "https://host/?" }, "api.base_url: has a query"},
	{"fragment", func(c *Config) { c.API.BaseURL = "https://host/#" }, "api.base_url: has a fragment"},
	{"API key and its file", func(c *Config) { c.API.Key, c.API.KeyFile = NewSecret("k"), "f" }, "api.key: is set together with api.key_file"},
	{"API key with a line break", func(c *Config) { c.API.Key = NewSecret("k\n") }, "api.key: contains a space, a line break"},
	{"no age of a connection", func(c *Config) { c.API.MaxConnectionAge = 0 }, "api.max_connection_age: is 0s; want more than 0s"},
	{"no time for a call", func(c *Config) { c.API.Timeout = 0 }, "api.timeout: is 0s; want more than 0s"},
	{"unlimited", func(c *Config) { c.API.RateLimit = 0 }, ""},
	{"negative rate", func(c *Config) { c.API.RateLimit = -0.5 }, "api.rate_limit: is -0.5"},
	{"infinite rate", func(c *Config) { c.API.RateLimit = math.Inf(1) }, "api.rate_limit: is +Inf"},
	{"rate that is not a number", func(c *Config) { c.API.RateLimit = math.NaN() }, "api.rate_limit: is NaN"},
	{"no burst", func(c *Config) { c.API.Burst = 0 }, "api.burst: is 0; want 1 or more"},
	{"scope", func(c *Config) { c.API.RateLimitScope = "host" }, `api.rate_limit_scope: is "host"; want one of group, instance`},

	{"no workers", func(c *Config) { c.Processor.Workers = 0 }, "processor.workers: is 0; want 1 to 10000"},
	{"too many workers", func(c *Config) { c.Processor.Workers = 10_001 }, "processor.workers: is 10001"},
	{"no attempts", func(c *Config) { c.Processor.MaxAttempts = 0 }, "processor.max_attempts: is 0; want 1 to 1000"},
	{"too many attempts", func(c *Config) { c.Processor.MaxAttempts = 1_001 }, "processor.max_attempts: is 1001"},
	{"no backoff", func(c *Config) { c.Processor.BackoffMin = 0 }, "processor.backoff_min: is 0s"},
	{"backoff of one size", func(c *Config) { c.Processor.BackoffMax = 250 * time.Millisecond }, ""},
	{"backoff_max below backoff_min", func(c *Config) { c.Processor.BackoffMax = time.Millisecond }, "processor.backoff_max: is 1ms, less than processor.backoff_min (250ms)"},
	{"nothing pending", func(c *Config) { c.Processor.MaxPending = 0 }, "processor.max_pending: is 0"},
	{"less than a record pending", func(c *Config) { c.Processor.MaxPendingBytes = 64*KiB - 1 }, "processor.max_pending_bytes: is 65535; want 64KiB or more"},
	{"no share for the backfill", func(c *Config) { c.Processor.BackfillMinShare = 0 }, ""},
	{"whole rate for the backfill", func(c *Config) { c.Processor.BackfillMinShare = 1 }, "processor.backfill_min_share: is 1; want 0 or more and below 1"},
	{"share that is not a number", func(c *Config) { c.Processor.BackfillMinShare = math.NaN() }, "processor.backfill_min_share: is NaN"},
	{"preflight", func(c *Config) { c.Processor.Preflight = "" }, `processor.preflight: is ""; want one of never, retry, backfill, always`},
	{"on conflict", func(c *Config) { c.Processor.OnConflict = "retry" }, `processor.on_conflict: is "retry"; want one of dead_letter, overwrite, skip`},
	{"no time to stop", func(c *Config) { c.Processor.ShutdownTimeout = 0 }, "processor.shutdown_timeout: is 0s"},

	{"format of decisions", func(c *Config) { c.Decode.Format = "xml" }, `decode.format: is "xml"; want one of auto, json, cloudevents, avro, protobuf`},
	{"registry", func(c *Config) { c.Decode.RegistryURL = NewSecret("http://registry:8081") }, ""},
	{"registry with a login", func(c *Config) { c.Decode.RegistryURL = NewSecret("https://me:hunter2@registry") }, ""},
	{"no registry for avro", func(c *Config) { c.Decode.Format = decision.FormatAvro }, "decode.registry_url: is empty, but decode.format is avro; set it to the URL of the Schema Registry"},
	{"no registry for protobuf", func(c *Config) { c.Decode.Format = decision.FormatProtobuf }, "decode.registry_url: is empty, but decode.format is protobuf; set it to the URL of the Schema Registry"},
	{"registry without a scheme", func(c *Config) { c.Decode.RegistryURL = NewSecret("registry:8081") }, "decode.registry_url: is not an https URL with a host; want one such as https://registry.example.com"},
	{"admin on all addresses", func(c *Config) { c.Admin.Addr = ":0" }, ""},
	{"no admin server", func(c *Config) { c.Admin.Addr = "" }, ""},
	{"admin without a port", func(c *Config) { c.Admin.Addr = "localhost" }, `admin.addr: is "localhost"; want host:port`},
	{"log level", func(c *Config) { c.Log.Level = "INFO" }, `log.level: is "INFO"; want one of debug, info, warn, error`},
	{"log format", func(c *Config) { c.Log.Format = "" }, `log.format: is ""; want one of json, text`},
}

func TestValidateReportsOneFault(t *testing.T) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			cfg := Default()
			r.change(&cfg)
			err := cfg.Validate()
			switch faults, _ := err.(Faults); {
			case r.fault == "" && err == nil:
			case r.fault == "" || len(faults) != 1 || !strings.HasPrefix(err.Error(), r.fault):
				t.Errorf("faults:\n%v\nwant one:\n%s", err, r.fault)
			case faults[0].Want == "":
				t.Errorf("%v: does not say how to fix it", err)
			}
		})
	}
}

func TestLoadRequiresAPIKeyOnlyIfNeeded(t *testing.T) {
	file := write(t, "")
	for _, s := range []Sources{
		{},
		{NeedAPIKey: true, Env: []string{"VERDICT_API_KEY=k"}},
		{NeedAPIKey: true, Env: []string{"VERDICT_API_KEY_FILE=f"}},
	} {
		s.File = file
		if _, err := Load(s); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
	_, err := Load(Sources{File: file, NeedAPIKey: true})
	wantFaults(t, err, "-", "api.key: is not set; set VERDICT_API_KEY or api.key_file")
}
