package cli

import (
	"fmt"
	"sync/atomic"

	"verdict/configs"
)

// apiKey is the present API key. One that comes from a file can be read again.
type apiKey struct {
	file string // empty: the key is fixed
	key  atomic.Pointer[configs.Secret]
}

// newAPIKey reads the key that the configuration names. A file that can't be
// read is a fault of the configuration.
func newAPIKey(cfg configs.API) (*apiKey, error) {
	k := &apiKey{file: cfg.KeyFile}
	if k.file == "" {
		k.key.Store(&cfg.Key)
		return k, nil
	}
	if err := k.Reload(); err != nil {
		return nil, configs.Faults{{Key: "api.key_file", Wrong: err.Error(), Want: "name a file that holds the API key and nothing else"}}
	}
	return k, nil
}

// Reload reads the key's file again.
func (k *apiKey) Reload() error {
	if k.file == "" {
		return nil
	}
	text, err := readSecret(k.file)
	if err != nil {
		return fmt.Errorf("read the API key: %w", err)
	}
	key := configs.NewSecret(text)
	k.key.Store(&key)
	return nil
}

// Key is the key to send.
func (k *apiKey) Key() string { return k.key.Load().Reveal() }
