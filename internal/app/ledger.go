package app

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"os"

	"verdict/configs"
	"verdict/internal/broker"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

// maxTrustedKeys is the largest size, in bytes, of the file of trusted keys.
const maxTrustedKeys = 1 << 20

// Ledger returns where the configured ledger is, for what author does with it. It reads the
// files of control.sign_key_file and control.trusted_keys_file, whose faults are faults of
// the configuration.
func Ledger(cfg configs.Config, c *broker.Connection, author ledger.Author) (store.Options, error) {
	o := store.Options{Connection: c, Control: cfg.Kafka.Topics.Control, Audit: cfg.Kafka.Topics.Audit, Group: cfg.Kafka.GroupID, Author: author}
	var faults configs.Faults
	if file := cfg.Control.SignKeyFile; file != "" {
		key, err := readSignKey(file)
		if err != nil {
			faults = append(faults, &configs.Fault{Key: "control.sign_key_file", Wrong: err.Error(), Want: "name a file that verdict key new wrote"})
		}
		o.Sign = key
	}
	if file := cfg.Control.TrustedKeysFile; file != "" {
		trusted, err := readTrusted(file)
		if err != nil {
			faults = append(faults, &configs.Fault{Key: "control.trusted_keys_file", Wrong: err.Error(), Want: "name a file with a line for each actor, as verdict key new prints it"})
		}
		o.Trusted = trusted
	}
	if len(faults) > 0 {
		return o, faults
	}
	return o, nil
}

func readSignKey(file string) (ed25519.PrivateKey, error) {
	text, err := readSecretFile(file)
	if err != nil {
		return nil, err
	}
	seed, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%s does not hold an Ed25519 private key in base64 (%d bytes)", file, ed25519.SeedSize)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

func readTrusted(file string) (ledger.Trusted, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxTrustedKeys {
		return nil, fmt.Errorf("%s has more than %d bytes", file, maxTrustedKeys)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	trusted, err := ledger.ParseTrusted(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return trusted, nil
}
