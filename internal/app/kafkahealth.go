package app

import (
	"log/slog"
	"sync"

	"verdict/internal/decision"
)

// kafkaHealth makes one pause of all that can fail in the dealings with Kafka,
// which in an outage is one part after the other. The log says once that it
// begins and once that it is over; in between it speaks only when what it named
// is over and something else is not.
type kafkaHealth struct {
	log   *slog.Logger
	pause func(on bool)
	show  func(on bool) // shows the pause, and holds nothing

	mu      sync.Mutex
	failing map[string]error // by part
	named   string           // the part that the log named last
	waiting bool             // records wait for the Schema Registry
}

// await notes whether records wait for the Schema Registry. That shows as the same
// pause, and holds only the partitions that need it: what was understood goes on.
func (k *kafkaHealth) await(waiting bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waiting = waiting
	k.show(waiting || len(k.failing) > 0)
}

// set notes that a part fails, with its error, or works, with nil.
func (k *kafkaHealth) set(part string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	was := len(k.failing) > 0
	if err != nil {
		k.failing[part] = err
	} else {
		delete(k.failing, part)
	}
	switch {
	case !was && err != nil:
		k.named = part
		k.log.Warn("Kafka does not answer as it should; holding calls", "pause", string(decision.PausedKafka), "part", part, "err", err)
		k.pause(true)
	case was && len(k.failing) == 0:
		k.pause(false)
		if k.waiting {
			k.show(true)
		}
		k.log.Info("Kafka answers again; calls go on", "pause", string(decision.PausedKafka))
	case err == nil && part == k.named:
		for other, why := range k.failing {
			k.named = other
			k.log.Warn("Kafka still does not answer as it should", "part", other, "err", why)
			break
		}
	}
}
