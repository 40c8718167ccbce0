// Package configs reads Verdict's configuration: defaults, then a YAML file,
// then the environment, then flags; a later one wins. It names every fault at
// once, each with its key, its place and what would be right. Reading the files
// that keys point at (certificates, a key file) is left to those who use them,
// and so is turning a Config into the options of other packages.
package configs

import (
	"log/slog"
	"time"

	"verdict/internal/decision"
)

// Config is the whole configuration. Its tags are the one source of every key:
// key is the name (of a section or within it), default the text of the default
// and help what it means, with its unit and the meaning of zero. Environment
// names, flags, the example file and the reference are made from them.
type Config struct {
	Kafka     Kafka     `key:"kafka"`
	API       API       `key:"api"`
	Processor Processor `key:"processor"`
	Decode    Decode    `key:"decode"`
	Admin     Admin     `key:"admin"`
	Log       Log       `key:"log"`
}

// Kafka is the section kafka.
type Kafka struct {
	Brokers          []string      `key:"brokers" default:"localhost:9092" help:"Addresses of some brokers of the cluster, as host:port; the others are found through them."`
	GroupID          string        `key:"group_id" default:"verdict" help:"Consumer group. Instances with the same group share the partitions and the rate limit."`
	ClientID         string        `key:"client_id" default:"verdict" help:"Name by which brokers know this client in their logs and quotas; empty for none."`
	TLS              TLS           `key:"tls"`
	SASL             SASL          `key:"sasl"`
	Topics           Topics        `key:"topics"`
	StartOffset      StartOffset   `key:"start_offset" default:"earliest" help:"Where to begin in a partition with no committed offset."`
	CommitInterval   time.Duration `key:"commit_interval" default:"200ms" help:"Longest time between a settled decision and its commit. At least 1ms."`
	MaxUncommitted   int           `key:"max_uncommitted" default:"20000" help:"Per partition, offsets fetched beyond the committed one, so that a slow or retrying task does not stop its partition; 1 to 1000000. Beyond about 24000 the span is held back by what fits the 4096 bytes that a broker takes as an offset's metadata."`
	RebalanceTimeout time.Duration `key:"rebalance_timeout" default:"30s" help:"Time that members have to give up their partitions in a rebalance. More than 3s longer than processor.shutdown_timeout."`
	SessionTimeout   time.Duration `key:"session_timeout" default:"30s" help:"Time without a heartbeat after which a member counts as gone. More than 3s longer than processor.shutdown_timeout."`
}

// TLS is the section kafka.tls.
type TLS struct {
	Enabled    bool   `key:"enabled" default:"false" help:"Whether to speak TLS to the brokers."`
	CAFile     string `key:"ca_file" default:"" help:"PEM file of the authorities that the brokers' certificates are checked against; empty for the system's. Like the two below it is read again for each connection."`
	CertFile   string `key:"cert_file" default:"" help:"PEM file of the certificate to show the brokers (mutual TLS), together with key_file; empty for none."`
	KeyFile    string `key:"key_file" default:"" help:"PEM file of the private key that belongs to cert_file."`
	ServerName string `key:"server_name" default:"" help:"Name that the brokers' certificates must have; empty for the host that was dialed."`
}

// SASL is the section kafka.sasl.
type SASL struct {
	Mechanism    SASLMechanism `key:"mechanism" default:"" help:"How to log in to the brokers; empty for no login. PLAIN sends the password as it is: use it with TLS."`
	Username     string        `key:"username" default:"" help:"Name to log in with."`
	Password     Secret        `key:"password" default:"" help:"Password to log in with; or use password_file."`
	PasswordFile string        `key:"password_file" default:"" help:"File that holds the password. It is read again at each login, so that a password can be changed without a restart."`
}

// Topics is the section kafka.topics.
type Topics struct {
	Decisions    string `key:"decisions" default:"task-decisions" help:"Topic of the live lane."`
	Backfill     string `key:"backfill" default:"task-decisions-backfill" help:"Topic of the backfill lane; empty for no such lane."`
	Results      string `key:"results" default:"task-results" help:"Topic that results are published to."`
	DeadLetters  string `key:"dead_letters" default:"task-decisions-dlq" help:"Topic that dead letters are published to."`
	CheckResults string `key:"check_results" default:"task-check-results" help:"Topic that verdict decide reads check results from."`
}

// LaneTopic is a topic that `run` reads, and the lane of its decisions.
type LaneTopic struct {
	Topic string
	Lane  decision.Lane
}

// Lanes returns the topics that `run` reads, live first. There is no backfill
// lane where its topic is empty.
func (t Topics) Lanes() []LaneTopic {
	lanes := []LaneTopic{{t.Decisions, decision.Live}}
	if t.Backfill != "" {
		lanes = append(lanes, LaneTopic{t.Backfill, decision.Backfill})
	}
	return lanes
}

// Inputs returns the names of the topics that `run` reads, live first.
func (t Topics) Inputs() []string {
	var names []string
	for _, in := range t.Lanes() {
		names = append(names, in.Topic)
	}
	return names
}

// API is the section api.
type API struct {
	BaseURL        string         `key:"base_url" default:"https://api.passfort.com/4.0" help:"Where the API is, with its version. Plain http only to a loopback address, or with allow_http."`
	AllowHTTP      bool           `key:"allow_http" default:"false" help:"Whether base_url may be plain http to another machine: the API key then travels in the clear."`
	Key            Secret         `key:"key" default:"" help:"API key; or use key_file."`
	KeyFile        string         `key:"key_file" default:"" help:"File that holds the API key. It is read again when the key is refused, so that a key can be changed without a restart."`
	Timeout        time.Duration  `key:"timeout" default:"65s" help:"Time that one call may take. The API itself gives up after 60s, and its own answer says more than a cut connection."`
	RateLimit      float64        `key:"rate_limit" default:"50" help:"Calls per second, of the whole consumer group; 0 for unlimited."`
	Burst          int            `key:"burst" default:"10" help:"Calls that may go at once after a quiet time, on top of the rate. At least 1."`
	RateLimitScope RateLimitScope `key:"rate_limit_scope" default:"group" help:"Whose limit rate_limit is: with group each instance takes the share of the partitions that it owns, with instance each takes it all."`
}

// Processor is the section processor.
type Processor struct {
	Workers          int                 `key:"workers" default:"64" help:"Calls in flight at the most; 1 to 10000."`
	MaxAttempts      int                 `key:"max_attempts" default:"8" help:"Calls for one decision before it is dead-lettered as retries_exhausted; 1 to 1000."`
	BackoffMin       time.Duration       `key:"backoff_min" default:"250ms" help:"Bound of the wait before the first retry; it doubles with each, and the wait is a random part of it."`
	BackoffMax       time.Duration       `key:"backoff_max" default:"1m" help:"What the bound of the wait before a retry does not grow beyond."`
	MaxPending       int                 `key:"max_pending" default:"5000" help:"Per lane, decisions held in memory: fetched and not yet settled. At least 1."`
	MaxPendingBytes  Bytes               `key:"max_pending_bytes" default:"32MiB" help:"Per lane, size of the records held in memory. At least 64KiB, the largest record that is read."`
	BackfillMinShare float64             `key:"backfill_min_share" default:"0.1" help:"Share of the rate that is kept for the backfill lane while both lanes have work, from 0 to below 1; with 0 the backfill waits for a quiet live lane."`
	Preflight        decision.Preflight  `key:"preflight" default:"retry" help:"When to look at a task before completing it: never; retry: after a failure that may have completed it; backfill: also before each decision of the backfill lane; always."`
	OnConflict       decision.OnConflict `key:"on_conflict" default:"dead_letter" help:"What becomes of a decision whose task is found complete in the opposite state."`
	ProfileOutcome   bool                `key:"profile_outcome" default:"false" help:"Whether results carry the outcome of the profile; this takes one more call a profile."`
	ShutdownTimeout  time.Duration       `key:"shutdown_timeout" default:"25s" help:"Time that calls in flight have to end when the service stops or loses partitions."`
}

// Decode is the section decode.
type Decode struct {
	Format      decision.Format `key:"format" default:"auto" help:"Format of the values of decision records; auto tells them apart."`
	RegistryURL Secret          `key:"registry_url" default:"" help:"Where the Schema Registry is that avro, protobuf and framed json need, with user and password where it wants them (https://user:password@registry.example.com); empty for none."`
}

// Admin is the section admin.
type Admin struct {
	Addr  string `key:"addr" default:"127.0.0.1:9464" help:"Address (host:port) of /metrics, /healthz and /readyz; port 0 for any free one, empty for no admin server. It asks for no password."`
	Pprof bool   `key:"pprof" default:"false" help:"Whether the admin server has /debug/pprof/."`
}

// Log is the section log.
type Log struct {
	Level  LogLevel  `key:"level" default:"info" help:"Least level of the lines that are logged."`
	Format LogFormat `key:"format" default:"json" help:"Form of log lines: json for machines, text for people."`
}

// choice is a value out of a closed set.
type choice interface{ Choices() []string }

// StartOffset is where to begin in a partition with no committed offset.
type StartOffset string

// The start offsets.
const (
	StartEarliest StartOffset = "earliest"
	StartLatest   StartOffset = "latest"
)

func (StartOffset) Choices() []string { return texts(StartEarliest, StartLatest) }

// SASLMechanism is how to log in to Kafka.
type SASLMechanism string

// The SASL mechanisms.
const (
	SASLNone        SASLMechanism = ""
	SASLPlain       SASLMechanism = "PLAIN"
	SASLScramSHA256 SASLMechanism = "SCRAM-SHA-256"
	SASLScramSHA512 SASLMechanism = "SCRAM-SHA-512"
)

func (SASLMechanism) Choices() []string {
	return texts(SASLNone, SASLPlain, SASLScramSHA256, SASLScramSHA512)
}

// RateLimitScope is whose limit api.rate_limit is.
type RateLimitScope string

// The scopes of the rate limit.
const (
	ScopeGroup    RateLimitScope = "group"
	ScopeInstance RateLimitScope = "instance"
)

func (RateLimitScope) Choices() []string { return texts(ScopeGroup, ScopeInstance) }

// LogLevel is the least level that is logged.
type LogLevel string

// The log levels.
const (
	LogDebug LogLevel = "debug"
	LogInfo  LogLevel = "info"
	LogWarn  LogLevel = "warn"
	LogError LogLevel = "error"
)

func (LogLevel) Choices() []string { return texts(LogDebug, LogInfo, LogWarn, LogError) }

// Level is slog's name for l; for none of the levels it is info.
func (l LogLevel) Level() slog.Level {
	switch l {
	case LogDebug:
		return slog.LevelDebug
	case LogWarn:
		return slog.LevelWarn
	case LogError:
		return slog.LevelError
	}
	return slog.LevelInfo
}

// LogFormat is the form of log lines.
type LogFormat string

// The log formats.
const (
	LogJSON LogFormat = "json"
	LogText LogFormat = "text"
)

func (LogFormat) Choices() []string { return texts(LogJSON, LogText) }

// texts is the members of a closed set as text.
func texts[T ~string](members ...T) []string {
	s := make([]string, len(members))
	for i, m := range members {
		s[i] = string(m)
	}
	return s
}
