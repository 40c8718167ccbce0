package configs

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"verdict/internal/decision"
)

// DrainMargin is by how much draining must be over before Kafka's time-outs.
// Heartbeats end with the generation, and kafka-go sends one every 3 s: a
// rebalance may begin that long after the last.
const DrainMargin = 3 * time.Second

// Bounds of values.
const (
	maxUncommitted     = 1_000_000
	maxWorkers         = 10_000
	maxAttempts        = 1_000
	minPendingBytes    = 64 * KiB // one record of the largest size
	minCommitInterval  = time.Millisecond
	maxKafkaTimeout    = 24 * time.Hour // Kafka holds it in 32 bits of milliseconds
	maxKafkaTopicBytes = 249
)

// Validate says what is wrong with c: nil, or a Faults with every fault. Load
// has done so already; this is for a Config that was changed or made by hand.
func (c Config) Validate() error {
	v := validator{cfg: c}
	return v.faultsFound().err()
}

// validator checks a whole configuration.
type validator struct {
	cfg        Config
	from       map[string]string
	broken     map[string]bool // keys that hold a default since their value could not be read
	needAPIKey bool
	faults     Faults
}

func (v *validator) faultsFound() Faults {
	v.choices()
	v.kafka(v.cfg.Kafka)
	v.tls(v.cfg.Kafka.TLS)
	v.sasl(v.cfg.Kafka.SASL)
	v.topics(v.cfg.Kafka.Topics)
	v.api(v.cfg.API)
	v.processor(v.cfg.Processor)
	v.draining(v.cfg.Processor.ShutdownTimeout, v.cfg.Kafka)
	v.decode(v.cfg.Decode)
	if v.cfg.Admin.Addr != "" && !isHostPort(v.cfg.Admin.Addr, 0) {
		v.fault("is "+shown(v.cfg.Admin.Addr), "want host:port such as 127.0.0.1:9464, or empty for no admin server", "admin.addr")
	}
	return v.faults
}

// fault adds a fault of the first key that has to do with the other keys. It is
// nothing new where one of them could not even be read.
func (v *validator) fault(wrong, want string, keys ...string) {
	f := &Fault{Key: keys[0], Wrong: wrong, Want: want}
	for _, k := range keys {
		if v.broken[k] {
			return
		}
		if f.From == "" {
			f.From = v.from[k]
		}
	}
	v.faults = append(v.faults, f)
}

// require adds a fault of key unless ok.
func (v *validator) require(ok bool, key string, value any, want string) {
	if !ok {
		v.fault(fmt.Sprintf("is %v", value), "want "+want, key)
	}
}

func (v *validator) choices() {
	for _, k := range table {
		if len(k.Choices) == 0 {
			continue
		}
		if text := k.field(&v.cfg).String(); !slices.Contains(k.Choices, text) {
			v.fault("is "+shown(text), "want one of "+choicesText(k.Choices), k.Name)
		}
	}
}

func (v *validator) kafka(k Kafka) {
	if len(k.Brokers) == 0 {
		v.fault("is empty", "want one host:port or more, such as localhost:9092", "kafka.brokers")
	}
	for _, b := range k.Brokers {
		if strings.HasPrefix(b, ":") || !isHostPort(b, 1) {
			v.fault("holds "+shown(b), "want each as host:port, such as localhost:9092", "kafka.brokers")
		}
	}
	if k.GroupID == "" {
		v.fault("is empty", "want the name of a consumer group, such as verdict", "kafka.group_id")
	}
	v.require(k.CommitInterval >= minCommitInterval, "kafka.commit_interval", k.CommitInterval, "1ms or more")
	v.require(k.MaxUncommitted >= 1 && k.MaxUncommitted <= maxUncommitted, "kafka.max_uncommitted", k.MaxUncommitted, "1 to 1000000")
	v.kafkaTimeout("kafka.rebalance_timeout", k.RebalanceTimeout)
	v.kafkaTimeout("kafka.session_timeout", k.SessionTimeout)
}

func (v *validator) kafkaTimeout(key string, d time.Duration) {
	v.require(d > 0 && d <= maxKafkaTimeout, key, d, "more than 0s and at most 24h")
}

func (v *validator) tls(t TLS) {
	if (t.CertFile == "") != (t.KeyFile == "") {
		key, other := "kafka.tls.cert_file", "kafka.tls.key_file"
		if t.CertFile == "" {
			key, other = other, key
		}
		v.fault("is set without "+other, "set both for mutual TLS, or neither", key, other)
	}
	if t.Enabled {
		return
	}
	for _, s := range [...]struct{ key, value string }{
		{"kafka.tls.ca_file", t.CAFile},
		{"kafka.tls.cert_file", t.CertFile},
		{"kafka.tls.key_file", t.KeyFile},
		{"kafka.tls.server_name", t.ServerName},
	} {
		if s.value != "" {
			v.fault("is set, and TLS is off", "set kafka.tls.enabled to true, or leave it out", s.key, "kafka.tls.enabled")
		}
	}
}

func (v *validator) sasl(s SASL) {
	const mechanism, username, password, file = "kafka.sasl.mechanism", "kafka.sasl.username", "kafka.sasl.password", "kafka.sasl.password_file"
	if s.Password.IsSet() && s.PasswordFile != "" {
		v.fault("is set together with "+file, "keep one of them", password, file)
	}
	if s.Mechanism != SASLNone {
		if s.Username == "" {
			v.fault("is empty, and "+mechanism+" is set", "set it", username, mechanism)
		}
		if !s.Password.IsSet() && s.PasswordFile == "" {
			v.fault("is not set, and "+mechanism+" is", "set it, or "+file, password, file, mechanism)
		}
		return
	}
	for _, login := range [...]struct {
		key string
		set bool
	}{{username, s.Username != ""}, {password, s.Password.IsSet()}, {file, s.PasswordFile != ""}} {
		if login.set {
			v.fault("is set without "+mechanism, "set "+mechanism+" to one of "+choicesText(s.Mechanism.Choices()[1:]), login.key, mechanism)
		}
	}
}

var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]+$`)

func (v *validator) topics(t Topics) {
	named := make(map[string]string) // topic -> the key that has it
	for _, s := range [...]struct{ key, topic string }{
		{"kafka.topics.decisions", t.Decisions},
		{"kafka.topics.backfill", t.Backfill},
		{"kafka.topics.results", t.Results},
		{"kafka.topics.dead_letters", t.DeadLetters},
		{"kafka.topics.check_results", t.CheckResults},
	} {
		other, taken := named[s.topic]
		switch {
		case s.topic == "" && s.key == "kafka.topics.backfill":
			continue // no such lane
		case s.topic == "":
			v.fault("is empty", "want the name of a topic", s.key)
		case len(s.topic) > maxKafkaTopicBytes || !topicName.MatchString(s.topic) || s.topic == "." || s.topic == "..":
			v.fault("is "+shown(s.topic), "want a Kafka topic: 1 to 249 letters, digits, dots, underscores or hyphens, not . or .. alone", s.key)
		case taken:
			v.fault("is "+shown(s.topic)+", and so is "+other, "each needs a topic of its own", s.key, other)
		default:
			named[s.topic] = s.key
		}
	}
}

func (v *validator) api(a API) {
	v.url("api.base_url", a.BaseURL, "https://api.passfort.com/4.0", a.AllowHTTP)
	switch {
	case a.Key.IsSet() && a.KeyFile != "":
		v.fault("is set together with api.key_file", "keep one of them", "api.key", "api.key_file")
	case v.needAPIKey && !a.Key.IsSet() && a.KeyFile == "":
		v.fault("is not set", "set VERDICT_API_KEY, or api.key_file", "api.key", "api.key_file")
	case strings.ContainsFunc(a.Key.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }):
		v.fault("holds a space, a line break or another character that is in no API key", "check how it was copied", "api.key")
	}
	v.require(a.Timeout > 0, "api.timeout", a.Timeout, "more than 0s")
	v.require(a.RateLimit >= 0 && !math.IsInf(a.RateLimit, 0), "api.rate_limit", a.RateLimit, "calls per second, or 0 for unlimited")
	v.require(a.Burst >= 1, "api.burst", a.Burst, "1 or more")
}

func (v *validator) processor(p Processor) {
	v.require(p.Workers >= 1 && p.Workers <= maxWorkers, "processor.workers", p.Workers, "1 to 10000")
	v.require(p.MaxAttempts >= 1 && p.MaxAttempts <= maxAttempts, "processor.max_attempts", p.MaxAttempts, "1 to 1000")
	v.require(p.BackoffMin > 0, "processor.backoff_min", p.BackoffMin, "more than 0s")
	if p.BackoffMax < p.BackoffMin {
		v.fault(fmt.Sprintf("is %s, less than processor.backoff_min (%s)", p.BackoffMax, p.BackoffMin), "want as much or more", "processor.backoff_max", "processor.backoff_min")
	}
	v.require(p.MaxPending >= 1, "processor.max_pending", p.MaxPending, "1 or more")
	v.require(p.MaxPendingBytes >= minPendingBytes, "processor.max_pending_bytes", p.MaxPendingBytes, "64KiB or more, so that the largest record fits")
	v.require(p.BackfillMinShare >= 0 && p.BackfillMinShare < 1, "processor.backfill_min_share", p.BackfillMinShare, "0 to below 1")
	v.require(p.ShutdownTimeout > 0, "processor.shutdown_timeout", p.ShutdownTimeout, "more than 0s")
}

func (v *validator) decode(d Decode) {
	const key = "decode.registry_url"
	if !d.RegistryURL.IsSet() {
		if d.Format == decision.FormatAvro || d.Format == decision.FormatProtobuf {
			v.fault("is empty, and decode.format is "+string(d.Format), "set it to where the Schema Registry is", key, "decode.format")
		}
		return
	}
	text := d.RegistryURL.Reveal()
	if u, err := url.Parse(text); err == nil {
		u.User = nil // it may have one
		text = u.String()
	}
	v.url(key, text, "https://registry.example.com", true)
}

// draining checks that calls in flight end before Kafka gives the partitions to
// the next owner, who would make those calls again.
func (v *validator) draining(shutdown time.Duration, k Kafka) {
	const key = "processor.shutdown_timeout"
	for _, limit := range [...]struct {
		key  string
		time time.Duration
	}{
		{"kafka.session_timeout", k.SessionTimeout},
		{"kafka.rebalance_timeout", k.RebalanceTimeout},
	} {
		if limit.time > 0 && shutdown >= limit.time-DrainMargin {
			v.fault(fmt.Sprintf("is %s, too long for %s (%s): a partition must be drained before another member gets it", shutdown, limit.key, limit.time),
				fmt.Sprintf("want more than %s between them", DrainMargin), key, limit.key)
		}
	}
}

// url checks an address of an HTTP server. It never repeats the value, which
// may hold a password.
func (v *validator) url(key, text, example string, allowHTTP bool) {
	u, err := url.Parse(text)
	if err != nil {
		v.fault("is not a URL", "want one such as "+example, key)
		return
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "":
		v.fault("is not an https URL with a host", "want one such as "+example, key)
	case !isPort(u.Port(), 1) && u.Port() != "":
		v.fault("has a port that is none", "want 1 to 65535", key)
	case u.Scheme == "http" && !allowHTTP && !isLoopback(u.Hostname()):
		v.fault("is plain http to another machine, where the API key would travel in the clear", "use https, or set api.allow_http where that is acceptable", key, "api.allow_http")
	}
	if u.User != nil {
		v.fault("holds a user name or password", "take it out", key)
	}
	if u.RawQuery != "" || u.ForceQuery {
		v.fault("has a query (?…)", "take it out", key)
	}
	if strings.Contains(text, "#") {
		v.fault("has a fragment (#…)", "take it out", key)
	}
}

// isLoopback says whether host is this machine without asking any resolver.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// isHostPort says whether text is host:port with a port from least on. The host
// may be empty.
func isHostPort(text string, least int) bool {
	host, port, err := net.SplitHostPort(text)
	return err == nil && !strings.ContainsAny(host, "/@, \t\r\n") && isPort(port, least)
}

func isPort(text string, least int) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && int(n) >= least
}
