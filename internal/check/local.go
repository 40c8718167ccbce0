package check

import (
	"crypto/x509"
	"fmt"
	"time"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker"
)

// expiryNotice is the remaining validity below which check warns about a
// certificate.
const expiryNotice = 14 * 24 * time.Hour

// checkLocal makes the checks that need no network. It leaves out what is already
// a fault of the configuration.
func checkLocal(f *Findings, cfg configs.Config) {
	if app.PasswordInTheClear(cfg.Kafka) {
		f.warn("kafka/password", "sent in plain text: kafka.sasl.mechanism is PLAIN and TLS is off", "set kafka.tls.enabled, or use SCRAM-SHA-512")
	}
	if t := cfg.Kafka.TLS; t.Enabled && t.CertFile != "" {
		if files, err := (broker.TLSFiles{Cert: t.CertFile, Key: t.KeyFile}).Config(); err == nil {
			if cert, err := x509.ParseCertificate(files.Certificates[0].Certificate[0]); err == nil {
				checkExpiry(f, "kafka/certificate", "the client certificate", cert, "renew "+t.CertFile+"; it is read again for each connection")
			}
		}
	}
	checkDrain(f, cfg)
}

// checkDrain states how long calls have to finish when an instance stops or loses
// partitions.
func checkDrain(f *Findings, cfg configs.Config) {
	limit, key := cfg.Kafka.SessionTimeout, "kafka.session_timeout"
	if cfg.Kafka.RebalanceTimeout < limit {
		limit, key = cfg.Kafka.RebalanceTimeout, "kafka.rebalance_timeout"
	}
	drain := cfg.Processor.ShutdownTimeout
	if limit-drain <= configs.DrainMargin {
		return
	}
	detail := fmt.Sprintf("calls in flight have %s to finish, %s before %s", drain, limit-drain, key)
	if cfg.API.Timeout > drain {
		detail += fmt.Sprintf("; a call may take %s (api.timeout): one that does not finish in time is abandoned, and its task is checked before the call is repeated", cfg.API.Timeout)
	}
	f.ok("drain", detail)
}

// checkExpiry checks how long a certificate is valid. Subject begins the detail.
func checkExpiry(f *Findings, name, subject string, cert *x509.Certificate, hint string) {
	left := time.Until(cert.NotAfter)
	detail := fmt.Sprintf("%s is valid until %s", subject, cert.NotAfter.UTC().Format(time.DateOnly))
	switch {
	case left < 0:
		f.fail(name, fmt.Sprintf("%s expired at %s", subject, cert.NotAfter.UTC().Format(time.RFC3339)), hint)
	case left < expiryNotice:
		f.warn(name, detail, hint)
	default:
		f.ok(name, detail)
	}
}
