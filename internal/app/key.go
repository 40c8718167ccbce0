package app

import (
	"fmt"
	"sync/atomic"

	"verdict/configs"
)

// Key holds the API key. A key from a file can be read again while it is in use.
type Key struct {
	file string // empty: the key does not change
	key  atomic.Pointer[configs.Secret]
}

// NewKey reads the configured API key. A file that cannot be read is a fault of the
// configuration.
func NewKey(cfg configs.API) (*Key, error) {
	k := &Key{file: cfg.KeyFile}
	if k.file == "" {
		k.key.Store(&cfg.Key)
		return k, nil
	}
	if err := k.Reload(); err != nil {
		return nil, configs.Faults{{Key: "api.key_file", Wrong: err.Error(), Want: "name a file that holds the API key and nothing else"}}
	}
	return k, nil
}

// Reload reads the key's file again. If that fails, the key stays.
func (k *Key) Reload() error {
	if k.file == "" {
		return nil
	}
	text, err := readSecretFile(k.file)
	if err != nil {
		return fmt.Errorf("read the API key: %w", err)
	}
	key := configs.NewSecret(text)
	k.key.Store(&key)
	return nil
}

// Current returns the key to send.
func (k *Key) Current() string { return k.key.Load().Reveal() }
