package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"verdict/configs"
)

// apiKey is the present API key. One that comes from a file can be read again.
type apiKey struct {
	file string // empty: the key is fixed
	key  atomic.Pointer[string]
}

// newAPIKey reads the key that the configuration names.
func newAPIKey(cfg configs.API) (*apiKey, error) {
	k := &apiKey{file: cfg.KeyFile}
	if k.file == "" {
		key := cfg.Key.Reveal()
		k.key.Store(&key)
		return k, nil
	}
	return k, k.Reload()
}

// Reload reads the key's file again.
func (k *apiKey) Reload() error {
	if k.file == "" {
		return nil
	}
	f, err := os.Open(k.file)
	if err != nil {
		return fmt.Errorf("read api.key_file: %w", err)
	}
	defer f.Close()
	const most = 4 << 10
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return fmt.Errorf("read api.key_file: %w", err)
	}
	key := strings.TrimSpace(string(text))
	switch {
	case len(text) > most:
		return fmt.Errorf("read api.key_file: %s has more than %d bytes, so it is no key", k.file, most)
	case key == "":
		return fmt.Errorf("read api.key_file: %s is empty", k.file)
	}
	k.key.Store(&key)
	return nil
}

// Key is the key to send.
func (k *apiKey) Key() string { return *k.key.Load() }
