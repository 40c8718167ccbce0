package broker

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
)

// maxPEM bounds a PEM file, in bytes. A system's whole bundle of authorities is
// a quarter of it.
const maxPEM = 1 << 20

// TLSFiles configures TLS by files. They are read again for each connection, so that a
// renewed certificate or authority is used without a restart. Open connections stay as
// they are. A file that can't be read, or a certificate whose new key is not there yet,
// fails that connection alone, which is retried as after any other failure.
type TLSFiles struct {
	// CA is a PEM file of the authorities that may sign the brokers'
	// certificates; empty: the system's.
	CA string
	// Cert and Key are PEM files of the client certificate (mutual TLS) and its
	// private key; both empty: none.
	Cert, Key string
	// ServerName is the name that the brokers' certificates must have; empty:
	// the host that is dialed.
	ServerName string
}

// FileError says which file of TLSFiles can't be used, and why.
type FileError struct {
	Field string // of TLSFiles: CA, Cert or Key
	Err   error
}

// Error names the field and what is wrong with its file.
func (e *FileError) Error() string { return "TLS " + e.Field + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *FileError) Unwrap() error { return e.Err }

// Config reads the files. Its error is a *FileError.
func (f TLSFiles) Config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.ServerName}
	if f.CA != "" {
		pem, err := readPEM(f.CA)
		if err != nil {
			return nil, &FileError{"CA", err}
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, &FileError{"CA", fmt.Errorf("%s holds no certificate in PEM form", f.CA)}
		}
	}
	if f.Cert == "" {
		return c, nil
	}
	cert, err := readPEM(f.Cert)
	if err != nil {
		return nil, &FileError{"Cert", err}
	}
	key, err := readPEM(f.Key)
	switch {
	case err != nil:
		return nil, &FileError{"Key", err}
	case bytes.Contains(key, []byte("ENCRYPTED")):
		return nil, &FileError{"Key", fmt.Errorf("%s is encrypted; use a key without a password (openssl pkey -in … -out …)", f.Key)}
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		// The error says which of the two is wrong, and shows nothing of their content.
		return nil, &FileError{"Cert", fmt.Errorf("%s with the key %s: %w", f.Cert, f.Key, err)}
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

func readPEM(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxPEM {
		return nil, fmt.Errorf("%s has more than %d bytes, so it is not a PEM file of certificates or keys", path, maxPEM)
	}
	return data, nil
}

// handshakeTLS makes the TLS handshake on conn, and closes conn if that fails.
func handshakeTLS(ctx context.Context, conn net.Conn, config func() (*tls.Config, error), address string) (*tls.Conn, error) {
	c, err := config()
	if err != nil {
		conn.Close()
		return nil, err
	}
	if c.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			conn.Close()
			return nil, err
		}
		c = c.Clone()
		c.ServerName = host
	}
	secured := tls.Client(conn, c)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx) // the handshake's error only says that ctx ended
		}
		return nil, fmt.Errorf("TLS handshake with %s: %w", address, err)
	}
	return secured, nil
}
