package check

import (
	"crypto/x509"
	"fmt"
	"time"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker"
)

// certificateNotice is how long before its end a certificate is warned of.
const certificateNotice = 14 * 24 * time.Hour

// checkLocal makes the checks that need nobody else.
func checkLocal(f *Findings, cfg configs.Config) {
	if app.PasswordInTheClear(cfg.Kafka) {
		f.warn("kafka/password", "travels in the clear: kafka.sasl.mechanism is PLAIN and TLS is off", "set kafka.tls.enabled, or use SCRAM-SHA-512")
	}
	if t := cfg.Kafka.TLS; t.Enabled && t.CertFile != "" {
		files, err := broker.TLSFiles{Cert: t.CertFile, Key: t.KeyFile}.Config()
		if err == nil { // else it is a fault of the configuration
			cert, err := x509.ParseCertificate(files.Certificates[0].Certificate[0])
			if err == nil {
				checkExpiry(f, "kafka/certificate", "our certificate", cert, "renew "+t.CertFile+"; it is read again at each connection")
			}
		}
	}
	p, k := cfg.Processor, cfg.Kafka
	limit, key := k.SessionTimeout, "kafka.session_timeout"
	if k.RebalanceTimeout < limit {
		limit, key = k.RebalanceTimeout, "kafka.rebalance_timeout"
	}
	detail := fmt.Sprintf("calls in flight have %s to end, %s before %s", p.ShutdownTimeout, limit-p.ShutdownTimeout, key)
	if cfg.API.Timeout > p.ShutdownTimeout {
		detail += fmt.Sprintf("; one may take %s (api.timeout): what outlasts the drain is given up, and looked at before it is sent again", cfg.API.Timeout)
	}
	if limit-p.ShutdownTimeout > configs.DrainMargin {
		f.ok("drain", detail)
	} // else it is a fault of the configuration
}

// checkExpiry looks at a certificate's end.
func checkExpiry(f *Findings, name, whose string, cert *x509.Certificate, hint string) {
	left := time.Until(cert.NotAfter)
	detail := fmt.Sprintf("%s is good until %s", whose, cert.NotAfter.UTC().Format(time.DateOnly))
	switch {
	case left < 0:
		f.fail(name, fmt.Sprintf("%s expired at %s", whose, cert.NotAfter.UTC().Format(time.RFC3339)), hint)
	case left < certificateNotice:
		f.warn(name, detail, hint)
	default:
		f.ok(name, detail)
	}
}
