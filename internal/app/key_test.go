package app

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"verdict/configs"
)

func TestKeyFromAFileCanBeReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(" one\n")
	key, err := NewKey(configs.API{KeyFile: file})
	if err != nil || key.Current() != "one" {
		t.Fatalf("key %q, %v", key.Current(), err)
	}
	write("two")
	if err := key.Reload(); err != nil || key.Current() != "two" {
		t.Errorf("key %q, %v", key.Current(), err)
	}
	write("\n")
	if err := key.Reload(); err == nil || key.Current() != "two" {
		t.Errorf("with an empty file: key %q, %v", key.Current(), err)
	}
}

func TestKeyFileThatCannotBeReadIsAFault(t *testing.T) {
	secret := strings.Repeat("secret", 1000) // too many bytes
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{file, file + "-missing", t.TempDir()} {
		_, err := NewKey(configs.API{KeyFile: name})
		faults, ok := errors.AsType[configs.Faults](err)
		if !ok || len(faults) != 1 || faults[0].Key != "api.key_file" || !strings.Contains(faults[0].Wrong, name) {
			t.Errorf("%s: %v", name, err)
		}
		if ok && strings.Contains(faults[0].Wrong, "secretsecret") {
			t.Errorf("the fault shows the file: %v", err)
		}
	}
}

func TestFixedKeyStays(t *testing.T) {
	key, err := NewKey(configs.API{Key: configs.NewSecret("fixed")})
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Reload(); err != nil || key.Current() != "fixed" {
		t.Errorf("key %q, %v", key.Current(), err)
	}
}
