package configs

import (
	"fmt"
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

// DrainMargin is how much earlier than Kafka's timeouts a drain must end. kafka-go
// sends a heartbeat every 3 s and stops when the generation ends, so a rebalance
// may have begun that long before a member notices.
const DrainMargin = 3 * time.Second

// maxTopicBytes is Kafka's limit for the name of a topic.
const maxTopicBytes = 249

// Validate returns nil, or a Faults with everything that is wrong with c. Load
// validates already: this is for a Config that was changed or made by hand.
func (c Config) Validate() error {
	v := validator{cfg: c}
	return v.check().err()
}

// validator checks a whole configuration: each value by its tags, then what
// tags cannot say.
type validator struct {
	cfg        Config
	from       map[string]string // key -> where its value was given
	unreadable map[string]bool   // keys that hold their default because their value could not be read
	needAPIKey bool
	faults     Faults
}

func (v *validator) check() Faults {
	for _, k := range table {
		v.value(k)
	}
	v.kafka(v.cfg.Kafka)
	v.tls(v.cfg.Kafka.TLS)
	v.sasl(v.cfg.Kafka.SASL)
	v.topics(v.cfg.Kafka.Topics)
	v.api(v.cfg.API)
	v.backoff(v.cfg.Processor)
	v.drain(v.cfg.Processor.ShutdownTimeout, v.cfg.Kafka)
	v.decode(v.cfg.Decode)
	if v.cfg.Bulk.Approval && v.cfg.Control.TrustedKeysFile == "" {
		v.fault("is true without control.trusted_keys_file", "name the file with the keys of those who may submit and approve, or set it to false", "bulk.approval", "control.trusted_keys_file")
	}
	if addr := v.cfg.Admin.Addr; addr != "" && !isHostPort(addr, 0) {
		v.fault("is "+quote(addr), "want host:port such as 127.0.0.1:9464, or empty for no admin server", "admin.addr")
	}
	return v.faults
}

// fault adds a fault of the first key that also concerns the other keys. It adds
// nothing if one of them could not be read, which is a fault already.
func (v *validator) fault(wrong, want string, keys ...string) {
	f := &Fault{Key: keys[0], Wrong: wrong, Want: want}
	for _, k := range keys {
		if v.unreadable[k] {
			return
		}
		if f.From == "" {
			f.From = v.from[k]
		}
	}
	v.faults = append(v.faults, f)
}

// value checks the value of k against its choices and bounds.
func (v *validator) value(k Key) {
	field := k.field(&v.cfg)
	if len(k.Choices) > 0 && !slices.Contains(k.Choices, field.String()) {
		v.fault("is "+quote(field.String()), "want one of "+choicesText(k.Choices), k.Name)
	}
	if !k.bounds.allow(field) {
		v.fault(fmt.Sprintf("is %v", field.Interface()), "want "+k.bounds.String(), k.Name)
	}
}

func (v *validator) kafka(k Kafka) {
	if len(k.Brokers) == 0 {
		v.fault("is empty", "want at least one host:port, such as localhost:9092", "kafka.brokers")
	}
	for _, b := range k.Brokers {
		if strings.HasPrefix(b, ":") || !isHostPort(b, 1) {
			v.fault("contains "+quote(b), "write each broker as host:port, such as localhost:9092", "kafka.brokers")
		}
	}
	if k.GroupID == "" {
		v.fault("is empty", "want a consumer group name, such as verdict", "kafka.group_id")
	}
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
			v.fault("is set, but TLS is off", "set kafka.tls.enabled to true, or remove it", s.key, "kafka.tls.enabled")
		}
	}
}

func (v *validator) sasl(s SASL) {
	const mechanism, username, password, file = "kafka.sasl.mechanism", "kafka.sasl.username", "kafka.sasl.password", "kafka.sasl.password_file"
	if s.Password.IsSet() && s.PasswordFile != "" {
		v.fault("is set together with "+file, "keep only one", password, file)
	}
	if s.Mechanism != SASLNone {
		if s.Username == "" {
			v.fault("is empty, but "+mechanism+" is set", "set both, or neither", username, mechanism)
		}
		if !s.Password.IsSet() && s.PasswordFile == "" {
			v.fault("is not set, but "+mechanism+" is", "set it or "+file, password, file, mechanism)
		}
		return
	}
	for _, given := range [...]struct {
		key string
		set bool
	}{{username, s.Username != ""}, {password, s.Password.IsSet()}, {file, s.PasswordFile != ""}} {
		if given.set {
			v.fault("is set without "+mechanism, "set "+mechanism+" to one of "+choicesText(s.Mechanism.Choices()[1:]), given.key, mechanism)
		}
	}
}

var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]+$`)

func (v *validator) topics(t Topics) {
	named := make(map[string]string) // topic -> its key
	for _, s := range [...]struct{ key, topic string }{
		{"kafka.topics.decisions", t.Decisions},
		{"kafka.topics.backfill", t.Backfill},
		{"kafka.topics.results", t.Results},
		{"kafka.topics.dead_letters", t.DeadLetters},
		{"kafka.topics.check_results", t.CheckResults},
		{"kafka.topics.held", t.Held},
		{"kafka.topics.control", t.Control},
		{"kafka.topics.audit", t.Audit},
		{"kafka.topics.fingerprints", t.Fingerprints},
	} {
		other, taken := named[s.topic]
		switch {
		case s.topic == "" && (s.key == "kafka.topics.backfill" || s.key == "kafka.topics.fingerprints"):
			continue // no backfill lane; nothing is remembered
		case s.topic == "":
			v.fault("is empty", "want a topic name", s.key)
		case len(s.topic) > maxTopicBytes || !topicName.MatchString(s.topic) || s.topic == "." || s.topic == "..":
			v.fault("is "+quote(s.topic), "want a Kafka topic name: 1 to 249 letters, digits, dots, underscores or hyphens, but not . or ..", s.key)
		case taken:
			v.fault("is "+quote(s.topic)+", the same as "+other, "give each its own topic", s.key, other)
		default:
			named[s.topic] = s.key
		}
	}
}

func (v *validator) api(a API) {
	v.httpURL("api.base_url", a.BaseURL, "https://api.passfort.com/4.0", a.AllowHTTP)
	switch {
	case a.Key.IsSet() && a.KeyFile != "":
		v.fault("is set together with api.key_file", "keep only one", "api.key", "api.key_file")
	case v.needAPIKey && !a.Key.IsSet() && a.KeyFile == "":
		v.fault("is not set", "set VERDICT_API_KEY or api.key_file", "api.key", "api.key_file")
	case strings.ContainsFunc(a.Key.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }):
		v.fault("contains a space, a line break or another character that no API key has", "check how it was copied", "api.key")
	}
}

func (v *validator) backoff(p Processor) {
	if p.BackoffMax < p.BackoffMin {
		v.fault(fmt.Sprintf("is %s, less than processor.backoff_min (%s)", p.BackoffMax, p.BackoffMin), "want at least that", "processor.backoff_max", "processor.backoff_min")
	}
}

func (v *validator) decode(d Decode) {
	const key = "decode.registry_url"
	if !d.RegistryURL.IsSet() {
		if d.Format == decision.FormatAvro || d.Format == decision.FormatProtobuf {
			v.fault("is empty, but decode.format is "+string(d.Format), "set it to the URL of the Schema Registry", key, "decode.format")
		}
		return
	}
	text := d.RegistryURL.Reveal()
	if u, err := url.Parse(text); err == nil {
		u.User = nil // a registry URL may contain a login
		text = u.String()
	}
	v.httpURL(key, text, "https://registry.example.com", true)
}

// drain checks that calls in flight end before Kafka gives the partitions to
// another member, which would make those calls again.
func (v *validator) drain(shutdown time.Duration, k Kafka) {
	const key = "processor.shutdown_timeout"
	for _, limit := range [...]struct {
		key  string
		time time.Duration
	}{
		{"kafka.session_timeout", k.SessionTimeout},
		{"kafka.rebalance_timeout", k.RebalanceTimeout},
	} {
		if limit.time > 0 && shutdown >= limit.time-DrainMargin {
			v.fault(fmt.Sprintf("is %s, too long for %s (%s): partitions must be drained before another member gets them", shutdown, limit.key, limit.time),
				fmt.Sprintf("make it more than %s shorter", DrainMargin), key, limit.key)
		}
	}
}

// httpURL checks the URL of a server. It never repeats the value, which may contain
// a password.
func (v *validator) httpURL(key, text, example string, allowHTTP bool) {
	u, err := url.Parse(text)
	if err != nil {
		v.fault("is not a URL", "want one such as "+example, key)
		return
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "":
		v.fault("is not an https URL with a host", "want one such as "+example, key)
	case !isPort(u.Port(), 1) && u.Port() != "":
		v.fault("has an invalid port", "want 1 to 65535", key)
	case u.Scheme == "http" && !allowHTTP && !isLoopback(u.Hostname()):
		v.fault("is plain http to another machine, which would send the API key unencrypted", "use https, or set api.allow_http if that is acceptable", key, "api.allow_http")
	}
	if u.User != nil {
		v.fault("contains a user name or password", "remove it", key)
	}
	if u.RawQuery != "" || u.ForceQuery {
		v.fault("has a query (?…)", "remove it", key)
	}
	if strings.Contains(text, "#") {
		v.fault("has a fragment (#…)", "remove it", key)
	}
}

// isLoopback reports whether host is this machine. It does not resolve names.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// isHostPort reports whether text is host:port with a port of at least least. The
// host may be empty.
func isHostPort(text string, least int) bool {
	host, port, err := net.SplitHostPort(text)
	return err == nil && !strings.ContainsAny(host, "/@, \t\r\n") && isPort(port, least)
}

func isPort(text string, least int) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && int(n) >= least
}
