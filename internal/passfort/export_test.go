package passfort

import (
	"crypto/tls"
	"crypto/x509"
)

// Trust makes the client trust a server's certificate. Call it before the first call.
func (c *Client) Trust(certificate *x509.Certificate) {
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	c.owned.newest.Load().TLSClientConfig = &tls.Config{RootCAs: pool}
}
