package redrive

import (
	"strings"
	"testing"
	"testing/synctest"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
)

// TestOffsetSetSpansSeveralCommits adds more offsets, in a more irregular pattern, than
// the metadata of one commit can hold.
func TestOffsetSetSpansSeveralCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := new(embedded.Network)
		cluster, err := embedded.Start(embedded.Options{Topics: map[string]int{"dlq": 2}, Listen: network.Listen})
		if err != nil {
			t.Fatal(err)
		}
		defer cluster.Close()
		conn, err := broker.NewConnection(broker.Options{Brokers: cluster.Addrs(), DialFunc: network.DialContext})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		redriven := func(partition int, offset int64) bool { return offset%3 == int64(partition) || offset < 1000 }

		const from, to = 20_000, 60_000
		bounds := map[int]broker.Bound{0: {First: from, End: to}, 1: {First: from, End: to}}
		s := newOffsetSet("g", "dlq")
		for offset := range int64(to) {
			for partition := range 2 {
				if redriven(partition, offset) {
					s.add(partition, offset)
				}
			}
		}
		if err := s.commit(t.Context(), conn); err != nil || len(s.changed) != 0 {
			t.Fatalf("%v, %d windows left", err, len(s.changed))
		}
		offset, metadata, ok := cluster.Committed("g", "dlq", 1)
		if !ok || offset != 1001 || len(metadata) > 4096 {
			t.Errorf("offset %d with %d bytes of metadata, %v", offset, len(metadata), ok)
		}

		s = newOffsetSet("g", "dlq")
		if err := s.load(t.Context(), conn, bounds); err != nil {
			t.Fatal(err)
		}
		for offset := int64(from); offset < to; offset++ {
			for partition := range 2 {
				if s.has(partition, offset) != redriven(partition, offset) {
					t.Fatalf("%d/%d is %v", partition, offset, s.has(partition, offset))
				}
			}
		}

		// A recreated topic has other letters at these offsets.
		bounds[1] = broker.Bound{First: 0, End: 10}
		if err := newOffsetSet("g", "dlq").load(t.Context(), conn, bounds); err == nil || !strings.Contains(err.Error(), "recreated") {
			t.Errorf("%v", err)
		}
	})
}
