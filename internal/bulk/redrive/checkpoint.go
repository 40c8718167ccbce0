package redrive

import (
	"context"

	"verdict/internal/broker"
)

// endMetadata marks a commit as the recorded end of a target topic, up to which all
// copies are in the set.
const endMetadata = "redrive-1 noted"

// checkpoint commits the set, then records the ends of the targets, which must not pass
// a copy that is not committed. Then it commits the whole set again: Kafka drops the
// oldest commits first, and must not drop the set before the ends.
func (r *Redriver) checkpoint(ctx context.Context) error {
	if err := r.redriven.commit(ctx, r.options.Connection); err != nil {
		return err
	}
	if err := r.recordTargetEnds(ctx); err != nil {
		return err
	}
	r.redriven.changeAll()
	return r.redriven.commit(ctx, r.options.Connection)
}

// recordTargetEnds commits the ends of the targets' logs.
func (r *Redriver) recordTargetEnds(ctx context.Context) error {
	for _, target := range r.targets {
		if !r.existing[target] {
			continue
		}
		ends, err := r.options.Connection.LogEnds(ctx, target)
		if err != nil {
			return err
		}
		commits := make(map[int]broker.GroupOffset, len(ends))
		for partition, end := range ends {
			commits[partition] = broker.GroupOffset{Offset: end, Metadata: endMetadata}
		}
		if err := r.options.Connection.CommitGroupOffsets(ctx, r.redriven.group, target, commits); err != nil {
			return err
		}
		r.targetEnds[target] = ends
	}
	return nil
}
