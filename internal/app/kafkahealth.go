package app

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"verdict/internal/decision"
)

// kafkaHealth turns the failures of all parts that use Kafka into one pause. In an
// outage the parts fail one after the other. The log has one line when the pause begins
// and one when it ends. In between it has a line only when the part that it named works
// again while another one still fails.
//
// The Schema Registry shows as the same pause, but holds only the partitions whose
// records need it: decisions that were decoded go on.
type kafkaHealth struct {
	log   *slog.Logger
	pause func(on bool) // holds calls and shows the pause; set before the consumer starts
	show  func(on bool) // shows the pause only; set where there is a Schema Registry

	mu       sync.Mutex
	failing  map[string]error // by part
	named    string           // the part that the log named last
	registry bool             // records wait for the Schema Registry
	since    time.Time        // when the pause began; zero: there is none
}

// set notes that a part fails with err, or works if err is nil.
func (k *kafkaHealth) set(part string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	was := len(k.failing) > 0
	if err != nil {
		k.failing[part] = err
	} else {
		delete(k.failing, part)
	}
	k.note()
	switch {
	case !was && err != nil:
		k.named = part
		k.log.Warn("Kafka requests fail; holding calls", "pause", string(decision.PausedKafka), "part", part, "err", err)
		k.pause(true)
	case was && len(k.failing) == 0:
		k.pause(false)
		if k.registry {
			k.show(true)
		}
		k.log.Info("Kafka works again", "pause", string(decision.PausedKafka))
	case err == nil && part == k.named:
		for other, why := range k.failing {
			k.named = other
			k.log.Warn("Kafka requests still fail", "part", other, "err", why)
			break
		}
	}
}

// setRegistry notes whether records wait for the Schema Registry.
func (k *kafkaHealth) setRegistry(waiting bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.registry = waiting
	k.note()
	k.show(waiting || len(k.failing) > 0)
}

// note keeps since when the pause lasts. Under mu.
func (k *kafkaHealth) note() {
	switch paused := k.registry || len(k.failing) > 0; {
	case !paused:
		k.since = time.Time{}
	case k.since.IsZero():
		k.since = time.Now()
	}
}

// paused returns since when the pause lasts, and why; zero: there is none.
func (k *kafkaHealth) paused() (since time.Time, why string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch err := k.failing[k.named]; {
	case k.since.IsZero():
		return time.Time{}, ""
	case err != nil:
		return k.since, fmt.Sprintf("Kafka requests fail (%s: %v)", k.named, err)
	}
	return k.since, "records wait for the Schema Registry"
}
