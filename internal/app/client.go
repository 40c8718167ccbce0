package app

import (
	"verdict/configs"
	"verdict/internal/passfort"
)

// NewClient returns the client of the configured API, with at most so many connections;
// dial nil means TCP. It makes no call.
func NewClient(cfg configs.API, key *Key, connections int, dial DialFunc) (*passfort.Client, error) {
	return passfort.New(passfort.Options{
		BaseURL: cfg.BaseURL, Key: key.Current, Timeout: cfg.Timeout, AllowHTTP: cfg.AllowHTTP,
		MaxConnections: connections, MaxConnectionAge: cfg.MaxConnectionAge, UserAgent: userAgent(), DialContext: dial,
	})
}
