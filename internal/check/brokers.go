package check

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"

	"verdict/configs"
	"verdict/internal/broker"
)

// brokers checks the brokers at addrs, and returns one that can be used; empty if
// there is none. origin ends the details.
func (k *kafkaCheck) brokers(ctx context.Context, addrs []string, origin string) (usable string) {
	found := make([]Findings, len(addrs))
	var probing sync.WaitGroup
	for i, addr := range addrs {
		probing.Go(func() { k.broker(ctx, &found[i], addr, origin) })
	}
	probing.Wait()
	for i, f := range found {
		if f.Count(Fail) == 0 && usable == "" {
			usable = addrs[i]
		}
		k.Findings = append(k.Findings, f...)
	}
	return usable
}

func (k *kafkaCheck) broker(ctx context.Context, f *Findings, addr, origin string) {
	ctx, cancel := k.bounded(ctx)
	defer cancel()
	name := "broker/" + addr
	probe, err := k.connection.OpenProbe(ctx, addr)
	if err != nil {
		failed, ok := errors.AsType[*broker.ConnectError](err)
		if !ok {
			f.failErr(name, err)
			return
		}
		f.fail(name, fmt.Sprintf("%s (%v)%s", failed.Cause, failed.Err, origin), connectHints[failed.Cause])
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
	f.ok(name, detail+origin)
	if state != nil {
		checkExpiry(f, "certificate/"+addr, "the broker's certificate", state.PeerCertificates[0], "have the brokers' certificates renewed")
	}
}

// connectHints say what to do about a failed connection.
var connectHints = map[broker.Cause]string{
	broker.CauseDNS:         "correct kafka.brokers, or the DNS resolver of this machine",
	broker.CauseRefused:     "is the broker up, and is its port in kafka.brokers right?",
	broker.CauseUnreachable: "correct kafka.brokers, or open the network route (firewall)",
	broker.CauseTimeout:     "is the broker up, and does a firewall let connections through? For more time, use --timeout",
	broker.CausePlainPort:   "use the port of the TLS listener in kafka.brokers, or set kafka.tls.enabled to false",
	broker.CauseTLSPort:     "set kafka.tls.enabled to true and, for a private authority, kafka.tls.ca_file",
	broker.CauseAuthority:   "set kafka.tls.ca_file to a PEM file with the authority that signed the brokers' certificates",
	broker.CauseHostname:    "use a name from the certificate in kafka.brokers, or set kafka.tls.server_name to one",
	broker.CauseExpired:     "have the broker's certificate renewed; is this machine's clock right?",
	broker.CauseCertificate: "have the broker's certificate replaced",
	broker.CauseClientCert:  "set kafka.tls.cert_file and kafka.tls.key_file to a certificate that the brokers' ssl.truststore trusts",
	broker.CauseFile:        "correct the key that names the file, or the file's permissions",
	broker.CauseMechanism:   "set kafka.sasl.mechanism to one that the broker offers",
	broker.CauseNoSASL:      "leave kafka.sasl.mechanism empty, or use the port of the SASL listener in kafka.brokers",
	broker.CauseCredentials: "correct kafka.sasl.username and kafka.sasl.password, or the file kafka.sasl.password_file, which is read again for each connection; a SCRAM user must exist for this mechanism",
	broker.CauseLoginWanted: "set kafka.sasl.mechanism, kafka.sasl.username and kafka.sasl.password_file",
	broker.CauseNotKafka:    "is the address in kafka.brokers that of a broker's listener?",
	broker.CauseUnknown:     "see the broker's log for this connection",
	broker.CauseHandshake:   "does the port speak TLS 1.2 or later, and does the broker accept the certificate in kafka.tls.cert_file?",
}
