package cli

import (
	"errors"
	"fmt"

	"verdict/configs"
	"verdict/internal/decision"
)

// laneAll is the value of --lane for both lanes.
const laneAll = "all"

// laneNames are the values of --lane for one lane.
var laneNames = []string{decision.Live.String(), decision.Backfill.String()}

// laneTopics returns the topics that --lane names.
func laneTopics(t configs.Topics, lane string) ([]string, error) {
	if lane == laneAll {
		return t.Inputs(), nil
	}
	for _, l := range t.Lanes() {
		if l.Lane.String() == lane {
			return []string{l.Topic}, nil
		}
	}
	if lane == decision.Backfill.String() {
		return nil, errors.New("--lane backfill: kafka.topics.backfill is empty, so there is no such lane")
	}
	return nil, fmt.Errorf("--lane: must be live, backfill or all, is %q", lane)
}
