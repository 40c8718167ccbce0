package passfort

import (
	"crypto/tls"
	"crypto/x509"
)

// Trust makes the client's own transport trust one server, before its first call.
func (c *Client) Trust(certificate *x509.Certificate) {
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	c.owned.TLSClientConfig = &tls.Config{RootCAs: pool}
}
