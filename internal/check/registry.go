package check

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/decision/codec"
)

// checkRegistry calls the Schema Registry once, if one is configured.
func checkRegistry(ctx context.Context, cfg configs.Config, o Options) (f Findings) {
	const name = "registry"
	if cfg.Decode.RegistryURL.Reveal() == "" {
		return nil
	}
	decoder, err := app.NewDecoder(cfg.Decode, codec.Options{DialContext: o.DialSchemas, Timeout: o.Timeout, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.fail(name, err.Error(), "correct decode.registry_url")
		return f
	}
	defer decoder.Close()
	start := time.Now()
	if err := decoder.Ask(ctx); err != nil {
		detail, hint, hasHint := strings.Cut(err.Error(), "; ")
		if !hasHint {
			hint = "is decode.registry_url right, and can this machine reach it? Records with an unknown schema would wait for it"
		}
		f.fail(name, detail, hint)
		return f
	}
	f.ok(name, fmt.Sprintf("answered in %s", time.Since(start).Round(time.Millisecond)))
	return f
}
