// Package configs reads Verdict's configuration in layers: defaults, a YAML file,
// the environment, and flags; a later layer wins. It reports every fault at once,
// each with its key, where it was given and how to fix it.
//
// The tags of Config are the only source of a key's name, default, bounds and help.
// Environment names, flags, verdict.example.yaml and docs/configuration.md are
// generated from them (go test ./configs -update). To add a key, add a field.
//
// The package does not read the files that keys point to, such as certificates or
// a key file: their users do. Turning a Config into the options of other packages
// is left to package app.
package configs

import (
	"time"

	"verdict/internal/decision"
)

// Config is the whole configuration. Its fields are sections or keys, described
// by these tags:
//
//	key      name of the section, or of the key within its section
//	default  value if none is given, as text; marks the field as a key
//	help     what the key means, with its unit, for people
//	min, max, above, below
//	         bounds of the value, inclusive (min, max) or exclusive, as text
//	zero     what 0 means, where it is special
type Config struct {
	Kafka     Kafka     `key:"kafka"`
	API       API       `key:"api"`
	Processor Processor `key:"processor"`
	Decode    Decode    `key:"decode"`
	Control   Control   `key:"control"`
	Bulk      Bulk      `key:"bulk"`
	Admin     Admin     `key:"admin"`
	Log       Log       `key:"log"`
}

// Kafka is the section kafka.
type Kafka struct {
	Brokers          []string      `key:"brokers" default:"localhost:9092" help:"Broker addresses as host:port. A few are enough: Verdict discovers the other brokers through them."`
	GroupID          string        `key:"group_id" default:"verdict" help:"Consumer group. The instances of a group share the partitions and the rate limit."`
	ClientID         string        `key:"client_id" default:"verdict" help:"Client name in the brokers' logs and quotas. Empty means none."`
	TLS              TLS           `key:"tls"`
	SASL             SASL          `key:"sasl"`
	Topics           Topics        `key:"topics"`
	Rack             string        `key:"rack" default:"" help:"Rack or zone of this instance. Records are then read from replicas in the same one, if the brokers allow it (replica.selector.class). Empty means from the partitions' leaders."`
	StartOffset      StartOffset   `key:"start_offset" default:"earliest" help:"Where to start in a partition that has no committed offset."`
	CommitInterval   time.Duration `key:"commit_interval" default:"200ms" min:"1ms" help:"Maximum time between settling a decision and committing its offset."`
	MaxUncommitted   int           `key:"max_uncommitted" default:"1000000" min:"1" max:"1000000" help:"How far past the committed offset each partition is read, in offsets. A large value keeps a slow or retrying task from blocking its partition. The commit lists what is settled past it in the 4096 bytes that a broker accepts as offset metadata: long runs take a few bytes each. A partition waits only when the list might no longer fit, which cannot happen within about 24000 offsets."`
	RebalanceTimeout time.Duration `key:"rebalance_timeout" default:"30s" above:"0s" max:"24h" help:"Time that members have to release their partitions in a rebalance. It must exceed processor.shutdown_timeout by more than 3s."`
	SessionTimeout   time.Duration `key:"session_timeout" default:"30s" above:"0s" max:"24h" help:"Time without a heartbeat after which Kafka removes a member from the group. It must exceed processor.shutdown_timeout by more than 3s."`
}

// TLS is the section kafka.tls.
type TLS struct {
	Enabled    bool   `key:"enabled" default:"false" help:"Connect to the brokers with TLS."`
	CAFile     string `key:"ca_file" default:"" help:"PEM file with the CA certificates to trust. Empty means the system's. This file, cert_file and key_file are read again for every connection."`
	CertFile   string `key:"cert_file" default:"" help:"PEM file with the client certificate for mutual TLS; needs key_file. Empty means none."`
	KeyFile    string `key:"key_file" default:"" help:"PEM file with the private key of cert_file."`
	ServerName string `key:"server_name" default:"" help:"Host name to expect in the brokers' certificates. Empty means the host that was dialed."`
}

// SASL is the section kafka.sasl.
type SASL struct {
	Mechanism    SASLMechanism `key:"mechanism" default:"" help:"SASL mechanism for logging in to the brokers. Empty means no login. PLAIN sends the password unencrypted, so use it with TLS only."`
	Username     string        `key:"username" default:"" help:"SASL user name."`
	Password     Secret        `key:"password" default:"" help:"SASL password. Set either this or password_file."`
	PasswordFile string        `key:"password_file" default:"" help:"File that holds the SASL password. It is read again at every login, so the password can change without a restart."`
}

// Topics is the section kafka.topics.
type Topics struct {
	Decisions    string `key:"decisions" default:"task-decisions" help:"Topic of the live lane."`
	Backfill     string `key:"backfill" default:"task-decisions-backfill" help:"Topic of the backfill lane. Empty means no backfill lane."`
	Results      string `key:"results" default:"task-results" help:"Topic to publish results to."`
	DeadLetters  string `key:"dead_letters" default:"task-decisions-dlq" help:"Topic to publish dead letters to."`
	CheckResults string `key:"check_results" default:"task-check-results" help:"Topic from which verdict decide reads check results."`
	Held         string `key:"held" default:"task-decisions-held" help:"Topic in which batches wait for approval, see bulk.approval. run does not read it."`
	Control      string `key:"control" default:"verdict-control" help:"Topic of the ledger: what is known of batches, redrives, holds and rates. It has one partition and is compacted."`
	Fingerprints string `key:"fingerprints" default:"verdict-fingerprints" help:"Topic in which submit remembers the rows of each batch, about nine bits each, so that rows that were sent before are noticed. Empty means that they are not remembered. run does not read it."`
	Audit        string `key:"audit" default:"verdict-audit" help:"Topic in which each act of a person is kept: who did what, when and why."`
}

// API is the section api.
type API struct {
	BaseURL          string         `key:"base_url" default:"https://api.passfort.com/4.0" help:"URL of the API, with its version. Plain http is accepted only for a loopback address, or with allow_http."`
	AllowHTTP        bool           `key:"allow_http" default:"false" help:"Allow plain http to other machines. The API key then travels unencrypted."`
	Key              Secret         `key:"key" default:"" help:"API key. Set either this or key_file."`
	KeyFile          string         `key:"key_file" default:"" help:"File that holds the API key. It is read again when the API refuses the key, so the key can change without a restart."`
	Timeout          time.Duration  `key:"timeout" default:"65s" above:"0s" help:"Timeout of one API call. The API gives up after 60s: a longer timeout here gets its error instead of a cut connection."`
	Probe            Probe          `key:"probe" default:"whoami" help:"How to tell an outage of the API from a decision that fails on its own. whoami: ask GET /whoami after a failure. none: don't, where a gateway does not offer it; then a failing API is noticed later."`
	MaxConnectionAge time.Duration  `key:"max_connection_age" default:"5m" above:"0s" help:"How long a connection to the API is used for new calls. A move of the API's address (DNS) is noticed within this time."`
	RateLimit        float64        `key:"rate_limit" default:"50" min:"0" zero:"no limit" help:"Maximum API calls per second, for the whole consumer group unless rate_limit_scope is instance."`
	Burst            int            `key:"burst" default:"10" min:"1" help:"Calls that can be made at once after a quiet period, on top of the rate."`
	RateLimitScope   RateLimitScope `key:"rate_limit_scope" default:"group" help:"Scope of rate_limit. group: the whole consumer group, where each instance gets a share in proportion to its partitions. instance: each instance on its own."`
}

// Processor is the section processor.
type Processor struct {
	Workers          int                 `key:"workers" default:"64" min:"1" max:"10000" help:"Maximum number of API calls in flight."`
	MaxAttempts      int                 `key:"max_attempts" default:"8" min:"1" max:"1000" help:"Minimum number of calls for a decision before it can be dead-lettered as retries_exhausted or unconfirmed."`
	Patience         time.Duration       `key:"patience" default:"10m" min:"0s" help:"Minimum time since a decision's first failure before it can be dead-lettered as retries_exhausted or unconfirmed, and only while the API works for others."`
	Guard            int                 `key:"guard" default:"20" min:"0" zero:"never hold" help:"Number of different tasks of a batch that the API refuses in a row, none completed, before the rest of the batch is held. Decisions without a batch count per lane."`
	BackoffMin       time.Duration       `key:"backoff_min" default:"250ms" above:"0s" help:"Maximum wait before the first retry. It doubles with each retry; the actual wait is a random part of it."`
	BackoffMax       time.Duration       `key:"backoff_max" default:"1m" help:"Maximum retry back-off. It must be at least backoff_min."`
	MaxPending       int                 `key:"max_pending" default:"5000" min:"1" help:"Maximum number of decisions held in memory, per lane: fetched and not yet settled."`
	MaxPendingBytes  Bytes               `key:"max_pending_bytes" default:"32MiB" min:"64KiB" help:"Maximum size of the records held in memory: three eighths for each lane, and a quarter for what is read ahead. The minimum is the largest record that Verdict reads."`
	BackfillMinShare float64             `key:"backfill_min_share" default:"0.1" min:"0" below:"1" zero:"backfill waits until live has no work" help:"Share of the rate reserved for the backfill lane while both lanes have work."`
	Preflight        decision.Preflight  `key:"preflight" default:"retry" help:"When to read a task (GET) before completing it. retry: after a failure that may have completed it. backfill: also before each decision of the backfill lane."`
	OnConflict       decision.OnConflict `key:"on_conflict" default:"dead_letter" help:"What to do with a decision whose task is already complete in the opposite state."`
	ProfileOutcome   bool                `key:"profile_outcome" default:"false" help:"Add the profile's outcome to results. This costs one more API call per profile."`
	ShutdownTimeout  time.Duration       `key:"shutdown_timeout" default:"25s" above:"0s" help:"Time that calls in flight have to finish when the service stops or loses partitions."`
}

// Decode is the section decode.
type Decode struct {
	Format      decision.Format `key:"format" default:"auto" help:"Format of the values of decision records. auto detects the format of each record."`
	RegistryURL Secret          `key:"registry_url" default:"" help:"URL of the Schema Registry, needed for avro, protobuf and JSON with a schema ID. It may contain a login (https://user:password@registry.example.com). Empty means none."`
}

// Control is the section control.
type Control struct {
	SignKeyFile     string `key:"sign_key_file" default:"" help:"File that holds the private key with which commands are signed (verdict key new). Empty means they are not signed."`
	TrustedKeysFile string `key:"trusted_keys_file" default:"" help:"File that names the actors whose signed commands are obeyed, each with a public key. Empty means that whoever may write to kafka.topics.control is obeyed."`
}

// Bulk is the section bulk.
type Bulk struct {
	StopAt   float64 `key:"stop_at" default:"0" min:"0" below:"1" zero:"never" help:"Share of dead letters at which a batch is held by itself, such as 0.05: of its first hundred decisions that ended on an instance, and then of all. verdict resume lets it go on."`
	Approval bool    `key:"approval" default:"false" help:"Submit batches into kafka.topics.held, where they wait until another person than their submitter approves them (verdict approve). It needs control.trusted_keys_file. To make it a rule, let only those write to kafka.topics.backfill and kafka.topics.decisions who may approve."`
}

// Admin is the section admin.
type Admin struct {
	Addr  string `key:"addr" default:"127.0.0.1:9464" help:"Address (host:port) of the admin server with /metrics, /healthz and /readyz. Port 0 means any free port; empty means no admin server. The server has no authentication."`
	Pprof bool   `key:"pprof" default:"false" help:"Serve /debug/pprof/ on the admin server."`
}

// Log is the section log.
type Log struct {
	Level  LogLevel  `key:"level" default:"info" help:"Lowest level that is logged."`
	Format LogFormat `key:"format" default:"json" help:"Format of log lines: json for machines, text for people."`
}
