package app

import (
	"fmt"
	"sync/atomic"

	"verdict/configs"
)

// Key is the present API key. One that comes from a file can be read again.
type Key struct {
	file string // empty: the key is fixed
	key  atomic.Pointer[configs.Secret]
}

// NewKey reads the key that the configuration names. A file that can't be
// read is a fault of the configuration.
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

// Reload reads the key's file again.
func (k *Key) Reload() error {
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
func (k *Key) Key() string { return k.key.Load().Reveal() }
