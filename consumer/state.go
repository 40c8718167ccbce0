package consumer

import (
	"log/slog"
	"sync"
)

// part is one of the things that can fail in the dealings with Kafka.
type part string

const (
	partTopics  part = "topics"
	partGroup   part = "group"
	partOffsets part = "offsets"
	partCommit  part = "commit"
)

// state turns the failures of several loops into one word for the outside:
// told once when the first part begins to fail and once when the last works
// again, whatever happens in between.
type state struct {
	tell func(error)
	log  *slog.Logger

	mu      sync.Mutex
	failing map[part]bool
}

func (s *state) failed(p part, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing[p] {
		return
	}
	if s.failing == nil {
		s.failing = make(map[part]bool)
	}
	s.failing[p] = true
	s.log.Warn("Kafka does not answer as it should; waiting", "part", string(p), "err", err)
	if len(s.failing) == 1 {
		s.tell(err)
	}
}

func (s *state) works(p part) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.failing[p] {
		return
	}
	delete(s.failing, p)
	s.log.Info("Kafka answers again", "part", string(p))
	if len(s.failing) == 0 {
		s.tell(nil)
	}
}
