package redrive

import (
	"context"

	"verdict/internal/broker"
)

// noteMetadata is the metadata of a commit that notes how far a target topic was
// looked through for copies.
const noteMetadata = "redrive-1 noted"

// checkpoint commits the set and then notes the ends of the targets, which must not
// pass a copy that is not committed. The set is committed once more, all of it: then
// Kafka forgets the notes before it, and never the set alone.
func (r *Redriver) checkpoint(ctx context.Context) error {
	if err := r.set.commit(ctx, r.o.Connection); err != nil {
		return err
	}
	if err := r.note(ctx); err != nil {
		return err
	}
	r.set.touch()
	return r.set.commit(ctx, r.o.Connection)
}

// note notes the ends of the targets.
func (r *Redriver) note(ctx context.Context) error {
	for _, target := range r.o.Targets {
		if !r.exist[target] {
			continue
		}
		ends, err := r.o.Connection.LogEnds(ctx, target)
		if err != nil {
			return err
		}
		notes := make(map[int]broker.GroupOffset, len(ends))
		for partition, end := range ends {
			notes[partition] = broker.GroupOffset{Offset: end, Metadata: noteMetadata}
		}
		if err := r.o.Connection.CommitGroupOffsets(ctx, r.set.group, target, notes); err != nil {
			return err
		}
		r.noted[target] = ends
	}
	return nil
}
