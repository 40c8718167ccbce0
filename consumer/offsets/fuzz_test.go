package offsets

import (
	"testing"

	"verdict/internal/decision"
)

func FuzzDecode(f *testing.F) {
	tr := NewTracker(7)
	for offset := int64(7); offset < 507; offset++ {
		tr.Track(offset)
		if offset%5 > 1 {
			tr.Settle(offset)
		}
	}
	f.Add(Encode(tr, map[int64]decision.Progress{7: {Attempts: 2, MaybeApplied: true}}, DefaultMetadataSize), int64(7))
	f.Add("", int64(0))
	f.Add("v1:", int64(0))
	f.Add("v1:AAAA", int64(0))
	f.Add("v1:Af////8P", int64(0))
	f.Add("another program's", int64(1<<62))
	f.Fuzz(func(t *testing.T, metadata string, base int64) {
		settled, _, err := Decode(metadata, base)
		if err != nil {
			return
		}
		last := base - 1
		for _, r := range settled {
			if r.From <= last || r.To <= r.From {
				t.Fatalf("runs %v, base %d", settled, base)
			}
			last = r.To
		}
		if last-base > MaxSpan {
			t.Fatalf("%d offsets, the limit is %d", last-base, MaxSpan)
		}
	})
}
