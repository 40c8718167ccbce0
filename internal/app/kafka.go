package app

import (
	"context"
	"errors"
	"fmt"
	"net"

	"verdict/configs"
	"verdict/internal/broker"
)

// DialFunc opens a connection; nil: TCP. Tests give a network in memory.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Connect is the cluster that the configuration names, as every command
// reaches it. Nothing is dialed yet; but the files that TLS and SASL need are
// read once, so that a wrong one is a fault of the configuration and not an
// outage of Kafka.
func Connect(cfg configs.Kafka, dial DialFunc) (*broker.Connection, error) {
	o := broker.Options{Brokers: cfg.Brokers, ClientID: cfg.ClientID, DialFunc: dial}
	var faults configs.Faults
	if t := cfg.TLS; t.Enabled {
		o.TLS = broker.TLSFiles{CA: t.CAFile, Cert: t.CertFile, Key: t.KeyFile, ServerName: t.ServerName}.Config
		if _, err := o.TLS(); err != nil {
			faults = append(faults, tlsFault(err))
		}
	}
	if s := cfg.SASL; s.Mechanism != configs.SASLNone {
		password := func() (string, error) { return s.Password.Reveal(), nil }
		if s.PasswordFile != "" {
			password = func() (string, error) {
				text, err := readSecret(s.PasswordFile)
				if err != nil {
					return "", fmt.Errorf("read kafka.sasl.password_file: %w", err)
				}
				return text, nil
			}
			if _, err := readSecret(s.PasswordFile); err != nil {
				faults = append(faults, &configs.Fault{
					Key: "kafka.sasl.password_file", Wrong: err.Error(), Want: "name a file that holds the password and nothing else",
				})
			}
		}
		var err error
		if o.SASL, err = broker.NewLogin(string(s.Mechanism), s.Username, password); err != nil {
			return nil, err
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return broker.NewConnection(o)
}

// tlsFault is a file that TLS can't use as a fault of the key that names it.
func tlsFault(err error) *configs.Fault {
	f := &configs.Fault{Key: "kafka.tls", Wrong: err.Error()}
	if file, ok := errors.AsType[*broker.FileError](err); ok {
		f.Wrong = file.Err.Error()
		switch file.Field {
		case "CA":
			f.Key, f.Want = "kafka.tls.ca_file", "name a PEM file with the certificates of the authorities"
		case "Cert":
			f.Key, f.Want = "kafka.tls.cert_file", "name the PEM file of the certificate that kafka.tls.key_file belongs to"
		case "Key":
			f.Key, f.Want = "kafka.tls.key_file", "name the PEM file of the private key that belongs to kafka.tls.cert_file"
		}
	}
	return f
}

// PasswordInTheClear says whether the password travels readable to everybody on
// the way. SCRAM never sends it.
func PasswordInTheClear(cfg configs.Kafka) bool {
	return cfg.SASL.Mechanism == configs.SASLPlain && !cfg.TLS.Enabled
}
