package app

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"verdict/consumer"
	"verdict/internal/decision"
	"verdict/processor"
)

// statusEvery is the time between two log lines with the status.
const statusEvery = time.Minute

// statusSource gathers the status of an instance, for /readyz, the metric verdict_ready
// and the log. All may ask before there is a consumer or a processor.
type statusSource struct {
	kafka    *kafkaHealth
	stopping atomic.Bool
	intake   atomic.Pointer[consumer.Consumer]   // nil until there is one
	work     atomic.Pointer[processor.Processor] // the same; `decide` has none
	ledger   atomic.Pointer[LedgerStatus]        // the same; nil until it is known
	lanes    map[string]decision.Lane            // by topic; set before work
}

// status returns the status now.
func (s *statusSource) status() *Status {
	now := time.Now()
	st := &Status{At: now, Stopping: s.stopping.Load(), Ledger: s.ledger.Load()}
	st.KafkaSince, st.KafkaWhy = s.kafka.paused()
	if work := s.work.Load(); work != nil {
		w := work.Status(now)
		st.Work, st.Backlog = &w, s.backlog()
	}
	if intake := s.intake.Load(); intake != nil {
		st.Joined, st.Partitions = intake.Joined(), intake.Owned()
	}
	return st
}

// backlog returns, by lane, how many records are not settled in the partitions that
// this instance owns.
func (s *statusSource) backlog() (all [len(decision.Lanes)]int64) {
	if intake := s.intake.Load(); intake != nil {
		for topic, n := range intake.Backlog() {
			all[s.lanes[topic]] += n
		}
	}
	return all
}

// ready answers /readyz: the status in one line, and whether the service takes work.
func (s *statusSource) ready() (line string, ok bool) {
	st := s.status()
	return st.String(), st.NotReady() == ""
}

// stop makes the service not ready for the rest of its life.
func (s *statusSource) stop() { s.stopping.Store(true) }

// log logs the status each minute until ctx ends.
func (s *statusSource) log(ctx context.Context, log *slog.Logger) error {
	ticker := time.NewTicker(statusEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			log.LogAttrs(ctx, slog.LevelInfo, "status", s.status().attrs()...)
		case <-ctx.Done():
			return nil
		}
	}
}
