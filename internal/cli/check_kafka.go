package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker"
)

// maxProbed is how many brokers are looked at.
const maxProbed = 50

// kafkaCheck makes the checks that need Kafka. It runs once.
type kafkaCheck struct {
	cfg        configs.Config
	connection *broker.Connection
	dial       app.DialFunc
	timeout    time.Duration // for each check
	findings
}

// bounded is ctx for one check.
func (k *kafkaCheck) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, k.timeout)
}

func (k *kafkaCheck) run(ctx context.Context) findings {
	good := k.brokers(ctx, k.cfg.Kafka.Brokers, "")
	if good == "" {
		k.warn("kafka", "topics, rights, group, backlog and clock are not checked, since no broker can be used", "correct that first")
		return k.findings
	}
	// What follows must not wait for a broker that was found silent.
	cfg := k.cfg.Kafka
	cfg.Brokers = []string{good}
	connection, err := app.Connect(cfg, k.dial)
	if err != nil {
		k.failed("kafka/cluster", err)
		return k.findings
	}
	defer connection.Close()
	k.connection = connection
	meta, err := k.metadata(ctx)
	if err != nil {
		k.fail("kafka/cluster", err.Error(), "does the Kafka user have the right to describe topics?")
		return k.findings
	}
	// The others are found through those that are configured, by the addresses
	// that the cluster advertises, which need not be right from here.
	var others []string
	for _, b := range meta.Brokers {
		if addr := net.JoinHostPort(b.Host, strconv.Itoa(b.Port)); !slices.Contains(k.cfg.Kafka.Brokers, addr) {
			others = append(others, addr)
		}
	}
	slices.Sort(others)
	k.brokers(ctx, others[:min(len(others), maxProbed)], ", advertised by the cluster")

	states := k.topics(ctx, good)
	k.rights(ctx, good)
	k.group(ctx)
	if len(meta.Brokers) > 0 {
		k.sessionBounds(ctx, meta.Brokers[0].ID)
	}
	k.backlogs(ctx, states)
	k.clock(ctx, states)
	return k.findings
}

func (k *kafkaCheck) metadata(ctx context.Context) (*kafka.MetadataResponse, error) {
	ctx, cancel := k.bounded(ctx)
	defer cancel()
	return k.connection.Client().Metadata(ctx, &kafka.MetadataRequest{Topics: app.TopicNames(k.cfg.Kafka.Topics)})
}

// brokers looks at each of these brokers, and gives one that can be used.
func (k *kafkaCheck) brokers(ctx context.Context, addrs []string, from string) (good string) {
	found := make([]findings, len(addrs))
	var probing sync.WaitGroup
	for i, addr := range addrs {
		probing.Go(func() { k.broker(ctx, &found[i], addr, from) })
	}
	probing.Wait()
	for i, f := range found {
		if f.count(statusFail) == 0 && good == "" {
			good = addrs[i]
		}
		k.findings = append(k.findings, f...)
	}
	return good
}

func (k *kafkaCheck) broker(ctx context.Context, f *findings, addr, from string) {
	ctx, cancel := k.bounded(ctx)
	defer cancel()
	name := "broker/" + addr
	probe, err := k.connection.OpenProbe(ctx, addr)
	if err != nil {
		failed, ok := errors.AsType[*broker.ConnectError](err)
		if !ok {
			f.failed(name, err)
			return
		}
		f.fail(name, fmt.Sprintf("%s (%v)%s", failed.Cause, failed.Err, from), connectHints[failed.Cause])
		return
	}
	defer probe.Close()
	detail := "reached in plain text"
	state := probe.TLS()
	if state != nil {
		detail = "reached with " + tls.VersionName(state.Version)
	}
	if m := k.cfg.Kafka.SASL.Mechanism; m != configs.SASLNone {
		detail += ", logged in by " + string(m)
	}
	f.ok(name, detail+from)
	if state != nil {
		checkEnd(f, "certificate/"+addr, "the broker's certificate", state.PeerCertificates[0], "have the brokers' certificates renewed")
	}
}

// connectHints say what to do about a connection that failed.
var connectHints = map[broker.Cause]string{
	broker.CauseDNS:         "correct kafka.brokers, or the resolver of this machine",
	broker.CauseRefused:     "is the broker up, and is its port in kafka.brokers right?",
	broker.CauseUnreachable: "correct kafka.brokers, or open the way there (network, firewall)",
	broker.CauseTimeout:     "is the broker up, and the way there open (firewall)? --timeout gives it longer",
	broker.CausePlainPort:   "use the port of the TLS listener in kafka.brokers, or set kafka.tls.enabled to false",
	broker.CauseTLSPort:     "set kafka.tls.enabled to true, and kafka.tls.ca_file where the authority is your own",
	broker.CauseAuthority:   "set kafka.tls.ca_file to a PEM file with the authority that signed the brokers' certificates",
	broker.CauseHostname:    "use a name in kafka.brokers that is in the certificate, or set kafka.tls.server_name to one",
	broker.CauseExpired:     "have the broker's certificate renewed; is this machine's clock right?",
	broker.CauseCertificate: "have the broker's certificate replaced",
	broker.CauseClientCert:  "set kafka.tls.cert_file and kafka.tls.key_file to a certificate that the brokers' ssl.truststore trusts",
	broker.CauseFile:        "correct the key that names the file, or the file's rights",
	broker.CauseMechanism:   "set kafka.sasl.mechanism to one that the broker offers",
	broker.CauseNoSASL:      "leave kafka.sasl.mechanism empty, or use the port of the SASL listener in kafka.brokers",
	broker.CauseCredentials: "correct kafka.sasl.username and kafka.sasl.password or the file kafka.sasl.password_file, which is read again at each connection; SCRAM users must exist for this mechanism",
	broker.CauseLoginWanted: "set kafka.sasl.mechanism, kafka.sasl.username and kafka.sasl.password_file",
	broker.CauseNotKafka:    "is the address in kafka.brokers that of a broker's listener?",
	broker.CauseHandshake:   "does the port speak TLS 1.2 or later, and does it take our certificate (kafka.tls.cert_file)?",
}

// rights tries what run will do, in ways that do nothing.
func (k *kafkaCheck) rights(ctx context.Context, addr string) {
	ctx, cancel := k.bounded(ctx)
	defer cancel()
	probe, err := k.connection.OpenProbe(ctx, addr)
	if err != nil {
		k.failed("rights", err)
		return
	}
	defer probe.Close()
	t := k.cfg.Kafka.Topics
	for _, topic := range t.Inputs() {
		k.right("rights/read/"+topic, probe.MayRead(topic), "give the Kafka user READ and DESCRIBE on the topic "+topic)
	}
	for _, topic := range []string{t.Results, t.DeadLetters} {
		k.right("rights/write/"+topic, probe.MayWrite(topic), "give the Kafka user WRITE and DESCRIBE on the topic "+topic)
	}
	k.right("rights/group", probe.MayJoin(k.cfg.Kafka.GroupID), "give the Kafka user READ and DESCRIBE on the group "+k.cfg.Kafka.GroupID)
}

func (k *kafkaCheck) right(name string, err error, hint string) {
	switch {
	case err == nil:
		k.ok(name, "allowed")
	case errors.Is(err, kafka.TopicAuthorizationFailed), errors.Is(err, kafka.GroupAuthorizationFailed):
		k.fail(name, "not allowed", hint)
	default:
		k.failed(name, err)
	}
}

// clock looks for records from the future: Kafka's protocol does not tell a
// broker's time, and no record is written to learn it.
func (k *kafkaCheck) clock(ctx context.Context, states map[string]broker.TopicState) {
	const name = "clock/kafka"
	ctx, cancel := k.bounded(ctx)
	defer cancel()
	limit := time.Now().Add(clockTolerance)
	request := &kafka.ListOffsetsRequest{Topics: make(map[string][]kafka.OffsetRequest)}
	for _, topic := range app.TopicNames(k.cfg.Kafka.Topics) {
		for p := range states[topic].Partitions {
			request.Topics[topic] = append(request.Topics[topic], kafka.TimeOffsetOf(p, limit))
		}
	}
	if len(request.Topics) == 0 {
		return // there is no topic, which is said elsewhere
	}
	answer, err := k.connection.Client().ListOffsets(ctx, request)
	if err != nil {
		k.warn(name, "no records from the future could be looked for: "+err.Error(), "")
		return
	}
	var latest time.Time
	var where string
	for topic, partitions := range answer.Topics {
		for _, p := range partitions {
			for offset, at := range p.Offsets {
				if offset >= 0 && at.After(latest) {
					latest, where = at, fmt.Sprintf("%s/%d at offset %d", topic, p.Partition, offset)
				}
			}
		}
	}
	if where != "" {
		k.warn(name, fmt.Sprintf("a record in %s is stamped %s later than this machine's clock", where, latest.Sub(limit.Add(-clockTolerance)).Round(time.Second)),
			"set the clocks of this machine, of the brokers and of those who produce right (NTP)")
		return
	}
	k.ok(name, "no record is from the future; the brokers' clock itself can't be asked")
}
