package app

import (
	"context"
	"errors"
	"fmt"
	"net"

	"verdict/configs"
	"verdict/internal/broker"
)

// DialFunc opens a connection, as net.Dialer.DialContext does. Tests use a network in
// memory.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Connect returns the connection to the configured cluster; dial nil means TCP. It dials
// nothing, but it reads the files that TLS and SASL need: a file that cannot be used is
// a fault of the configuration, not an outage of Kafka. Each connection reads them
// again, so that they can be renewed.
func Connect(cfg configs.Kafka, dial DialFunc) (*broker.Connection, error) {
	o := broker.Options{Brokers: cfg.Brokers, ClientID: cfg.ClientID, Rack: cfg.Rack, DialFunc: dial}
	var faults configs.Faults
	if t := cfg.TLS; t.Enabled {
		o.TLS = broker.TLSFiles{CA: t.CAFile, Cert: t.CertFile, Key: t.KeyFile, ServerName: t.ServerName}.Config
		if _, err := o.TLS(); err != nil {
			faults = append(faults, tlsFault(err))
		}
	}
	if s := cfg.SASL; s.Mechanism != configs.SASLNone {
		password := passwordOf(s)
		if _, err := password(); err != nil {
			faults = append(faults, &configs.Fault{
				Key: "kafka.sasl.password_file", Wrong: err.Error(), Want: "name a file that holds the password and nothing else",
			})
		}
		var err error
		if o.SASL, err = broker.NewLogin(string(s.Mechanism), s.Username, func() (string, error) {
			text, err := password()
			if err != nil {
				return "", fmt.Errorf("read kafka.sasl.password_file: %w", err)
			}
			return text, nil
		}); err != nil {
			return nil, err
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return broker.NewConnection(o)
}

// passwordOf returns the function that reads the password of a login.
func passwordOf(s configs.SASL) func() (string, error) {
	if s.PasswordFile == "" {
		return func() (string, error) { return s.Password.Reveal(), nil }
	}
	return func() (string, error) { return readSecretFile(s.PasswordFile) }
}

// tlsFault returns the fault of the key that names the file that TLS cannot use.
func tlsFault(err error) *configs.Fault {
	f := &configs.Fault{Key: "kafka.tls", Wrong: err.Error()}
	file, ok := errors.AsType[*broker.FileError](err)
	if !ok {
		return f
	}
	f.Wrong = file.Err.Error()
	switch file.Field {
	case "CA":
		f.Key, f.Want = "kafka.tls.ca_file", "name a PEM file with the certificates of the authorities"
	case "Cert":
		f.Key, f.Want = "kafka.tls.cert_file", "name the PEM file of the certificate that kafka.tls.key_file belongs to"
	case "Key":
		f.Key, f.Want = "kafka.tls.key_file", "name the PEM file of the private key that belongs to kafka.tls.cert_file"
	}
	return f
}

// PasswordInTheClear reports whether the Kafka password is sent unencrypted. SCRAM never
// sends it.
func PasswordInTheClear(cfg configs.Kafka) bool {
	return cfg.SASL.Mechanism == configs.SASLPlain && !cfg.TLS.Enabled
}
