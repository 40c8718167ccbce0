package configs

import (
	"strings"
	"testing"
)

func TestKeysHaveHelpAndUniqueNames(t *testing.T) {
	n := 0
	for k := range Keys() {
		n++
		if !strings.HasSuffix(k.Help, ".") {
			t.Errorf("%s: help is %q", k.Name, k.Help)
		}
		if byEnv[k.Env()].Name != k.Name {
			t.Errorf("%s shares %s with another key", k.Name, k.Env())
		}
	}
	if n != len(byName) {
		t.Errorf("%d keys, %d names", n, len(byName))
	}
}

func TestKeyOfTellsKeysFromOwnFlags(t *testing.T) {
	fs := flagSet(t)
	fs.String("rate", "", "")
	for k := range Keys() {
		if got, ok := KeyOf(fs.Lookup(k.Flag())); !ok || got.Name != k.Name {
			t.Errorf("--%s: key %q, %t", k.Flag(), got.Name, ok)
		}
	}
	if k, ok := KeyOf(fs.Lookup("rate")); ok {
		t.Errorf("--rate is taken for %s", k.Name)
	}
}

func TestFlagHelpShowsDefaultsAndNoSecret(t *testing.T) {
	fs := flagSet(t, "--api-key=hunter2")
	help := fs.FlagUsages()
	for _, want := range []string{"--kafka-brokers list", "(default localhost:9092)", "--admin-pprof ", "One of never, retry, backfill, always."} {
		if !strings.Contains(help, want) {
			t.Errorf("help lacks %q:\n%s", want, help)
		}
	}
	if strings.Contains(help, "hunter2") || strings.Contains(fs.Lookup("api-key").Value.String(), "hunter2") {
		t.Error("help shows the secret")
	}
}
