package cli

import (
	"bytes"
	"io"
	"log/slog"
	"sync"
	"time"

	"verdict/configs"
)

// newLogger returns a logger to standard error, as the configuration wants it.
func newLogger(s Process, cfg configs.Log) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.Level.Level()}
	if cfg.Format == configs.LogText {
		return slog.New(slog.NewTextHandler(s.Err, options))
	}
	// The JSON handler would print a duration as a number of nanoseconds without
	// a unit.
	options.ReplaceAttr = func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration {
			a.Value = slog.StringValue(a.Value.Duration().String())
		}
		return a
	}
	return slog.New(slog.NewJSONHandler(s.Err, options))
}

// StandardLog returns a writer to w for Go's standard logger. net/http reports there
// what a server sends without having been asked, and quotes it; the quote is left out,
// because an answer of the API may name people.
func StandardLog(w io.Writer) io.Writer { return standardLog{w} }

type standardLog struct{ to io.Writer }

func (l standardLog) Write(p []byte) (int, error) {
	line := p
	if before, _, ok := bytes.Cut(p, []byte(" starting with \"")); ok {
		line = append(bytes.Clone(before), '\n')
	}
	if _, err := l.to.Write(line); err != nil {
		return 0, err
	}
	return len(p), nil
}

// retryLogInterval is the time between two log lines about the same error.
const retryLogInterval = 5 * time.Second

// logRetries returns a function that logs errors that are retried: a changed
// error at once, the same one every retryLogInterval. It may be called by several
// goroutines.
func logRetries(log *slog.Logger) func(error) {
	var mu sync.Mutex // guards last and at
	var last string
	var at time.Time
	return func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if text := err.Error(); text != last || time.Since(at) >= retryLogInterval {
			last, at = text, time.Now()
			log.Warn("a Kafka request failed; trying again", "err", err)
		}
	}
}
