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

// checkRegistry asks the Schema Registry once, where there is one.
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
	asked := time.Now()
	if err := decoder.Ask(ctx); err != nil {
		detail, hint, told := strings.Cut(err.Error(), "; ") // the registry's own hint
		if !told {
			hint = "is decode.registry_url right, and the way there open? Records whose schema is not known yet would wait"
		}
		f.fail(name, detail, hint)
		return f
	}
	f.ok(name, fmt.Sprintf("answered in %s", time.Since(asked).Round(time.Millisecond)))
	return f
}
