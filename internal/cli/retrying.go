package cli

import (
	"log/slog"
	"time"
)

// retryLogInterval is the time between two log lines about the same fault.
const retryLogInterval = 5 * time.Second

// retryTeller logs what fails and is tried again: at once, when it changes, and
// else now and then. It is called one call at a time.
func retryTeller(log *slog.Logger) func(error) {
	var last string
	var at time.Time
	return func(err error) {
		if text := err.Error(); text != last || time.Since(at) >= retryLogInterval {
			last, at = text, time.Now()
			log.Warn("Kafka does not answer as it should; trying again", "err", err)
		}
	}
}
