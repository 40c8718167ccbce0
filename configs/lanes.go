package configs

import "verdict/internal/decision"

// LaneTopic is a topic that run reads, and the lane of its decisions.
type LaneTopic struct {
	Topic string
	Lane  decision.Lane
}

// Lanes returns the topics that run reads, live first. There is no backfill lane
// if its topic is empty.
func (t Topics) Lanes() []LaneTopic {
	lanes := []LaneTopic{{t.Decisions, decision.Live}}
	if t.Backfill != "" {
		lanes = append(lanes, LaneTopic{t.Backfill, decision.Backfill})
	}
	return lanes
}

// Inputs returns the names of the topics that run reads, live first.
func (t Topics) Inputs() []string {
	var names []string
	for _, in := range t.Lanes() {
		names = append(names, in.Topic)
	}
	return names
}
