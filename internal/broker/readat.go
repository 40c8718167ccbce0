package broker

import (
	"context"

	"verdict/internal/decision"
)

// ReadAt reads the records of a partition at these offsets, which ascend. It leaves out
// those that are gone, by retention or compaction. Records of an unknown future are waited
// for until ctx ends.
func (c *Connection) ReadAt(ctx context.Context, topic string, partition int, offsets []int64) (records []decision.Record, err error) {
	if len(offsets) == 0 {
		return nil, nil
	}
	p := &partitionScan{connection: c, topic: topic, partition: partition, next: offsets[0], follow: true}
	for len(offsets) > 0 {
		found, err := p.fetch(ctx)
		if err != nil {
			return nil, err
		}
		for _, rec := range found {
			for len(offsets) > 0 && offsets[0] < rec.Offset {
				offsets = offsets[1:] // it is gone
			}
			if len(offsets) > 0 && offsets[0] == rec.Offset {
				records = append(records, rec)
				offsets = offsets[1:]
			}
		}
		for len(offsets) > 0 && offsets[0] < p.next {
			offsets = offsets[1:]
		}
		if len(offsets) > 0 && offsets[0] > p.next {
			p.next, p.empty = offsets[0], false
		}
	}
	return records, nil
}
