package consumer

import "sync"

// Part is a part of the work with Kafka that can fail by itself.
type Part string

// The parts that OnHealthChange reports.
const (
	PartMetadata Part = "metadata" // reading which topics and partitions exist
	PartTopics   Part = "topics"   // a topic is missing
	PartGroup    Part = "group"    // joining the group
	PartOffsets  Part = "offsets"  // reading where a generation begins
	PartCommit   Part = "commit"   // committing offsets
)

// health reports each part once when it begins to fail and once when it works
// again, however often it fails in between and whichever loop notices.
type health struct {
	onChange func(Part, error)

	mu      sync.Mutex // held while onChange runs, so that calls are made one at a time
	failing map[Part]bool
}

func (h *health) failed(p Part, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failing[p] {
		return
	}
	if h.failing == nil {
		h.failing = make(map[Part]bool)
	}
	h.failing[p] = true
	h.onChange(p, err)
}

func (h *health) recovered(p Part) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failing[p] {
		delete(h.failing, p)
		h.onChange(p, nil)
	}
}
