package control

import (
	"context"

	"verdict/consumer/offsets"
	"verdict/internal/broker"
	"verdict/internal/bulk/topicread"
)

// readLane returns what waits in a lane's topic, whoever owns its partitions.
func (o *Options) readLane(ctx context.Context, lane Lane) LaneStatus {
	st := LaneStatus{Lane: lane.Name, Topic: lane.Topic}
	ctx, cancel := context.WithTimeout(ctx, topicread.AnswerTimeout)
	defer cancel()
	bounds, err := o.Ledger.Connection.Bounds(ctx, lane.Topic)
	if err != nil {
		st.Error = err.Error()
		return st
	}
	commits, err := o.Ledger.Connection.GroupOffsets(ctx, o.Ledger.Group, lane.Topic)
	if err != nil {
		st.Error = err.Error()
		return st
	}
	for partition, bound := range bounds {
		commit, committed := commits[partition]
		lag, backlog := waiting(bound, commit, committed, o.Latest)
		st.Lag += lag
		st.Backlog += backlog
	}
	return st
}

// waiting returns how many records of a partition are beyond its commit, and how many of
// them are not settled.
func waiting(b broker.Bound, commit broker.GroupOffset, committed, latest bool) (lag, backlog int64) {
	switch {
	case !committed && latest:
		return 0, 0
	case !committed:
		return b.End - b.First, b.End - b.First
	}
	lag = max(0, b.End-max(commit.Offset, b.First))
	if commit.Offset < b.First {
		return lag, lag // what was settled beyond the commit was deleted, at least in part
	}
	// The metadata of another program says nothing, and the offset still counts.
	settled, _, _ := offsets.Restore(commit.Offset, commit.Metadata, commit.Offset)
	return lag, min(lag, settled.Unsettled(b.End))
}
