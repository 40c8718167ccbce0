package configs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestSecretIsNeverPrinted(t *testing.T) {
	const text = "hunter2"
	cfg := Default()
	cfg.API.Key = NewSecret(text)
	cfg.Kafka.SASL.Password = NewSecret(text)
	hidden := struct{ cfg Config }{cfg} // fmt calls no methods of unexported fields

	check := func(how, out string) {
		t.Helper()
		if strings.Contains(out, text) || strings.Contains(out, fmt.Sprintf("%x", text)) || strings.Contains(out, fmt.Sprintf("%X", text)) {
			t.Errorf("%s shows the secret: %s", how, out)
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%c", "%U", "%z", "% x", "%10s"} {
		for _, v := range []any{cfg.API.Key, &cfg.API.Key, cfg, &cfg, hidden, []Secret{cfg.API.Key}, map[string]Secret{"k": cfg.API.Key}} {
			check(verb, fmt.Sprintf(verb, v))
		}
	}
	for _, h := range []func(*bytes.Buffer) slog.Handler{
		func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
	} {
		var b bytes.Buffer
		slog.New(h(&b)).Info("configuration", "key", cfg.API.Key, "cfg", cfg, "hidden", hidden)
		check("slog", b.String())
		if !strings.Contains(b.String(), redacted) {
			t.Errorf("slog does not print [redacted]: %s", b.String())
		}
	}
	for how, marshal := range map[string]func(any) ([]byte, error){"json": json.Marshal, "yaml": yaml.Marshal} {
		out, err := marshal(cfg)
		if err != nil {
			t.Error(err)
		}
		check(how, string(out))
		if !strings.Contains(string(out), redacted) {
			t.Errorf("%s does not print [redacted]: %s", how, out)
		}
	}
	if got := cfg.API.Key.Reveal(); got != text {
		t.Errorf("Reveal is %q", got)
	}
}

func TestSecretUnsetIsEmpty(t *testing.T) {
	for _, s := range []Secret{{}, NewSecret("")} {
		if s.IsSet() || s.Reveal() != "" || s.String() != "" || fmt.Sprint(s) != "" {
			t.Errorf("%v is set", s)
		}
	}
}
