package consumer

import "sync"

// Part is one of the things that can fail in the dealings with Kafka.
type Part string

// The parts that OnHealthChange tells of.
const (
	PartMetadata Part = "metadata" // what topics and partitions there are
	PartTopics   Part = "topics"   // a topic is missing
	PartGroup    Part = "group"    // to join it
	PartOffsets  Part = "offsets"  // where a generation begins
	PartCommit   Part = "commit"
)

// state tells of each part once that it fails and once that it works again,
// however often it fails in between and whichever loop notices.
type state struct {
	tell func(Part, error)

	mu      sync.Mutex
	failing map[Part]bool
}

func (s *state) failed(p Part, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing[p] {
		return
	}
	if s.failing == nil {
		s.failing = make(map[Part]bool)
	}
	s.failing[p] = true
	s.tell(p, err)
}

func (s *state) works(p Part) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing[p] {
		delete(s.failing, p)
		s.tell(p, nil)
	}
}
