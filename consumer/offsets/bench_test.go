package offsets

import "testing"

func BenchmarkTracker(b *testing.B) {
	for name, slow := range map[string]int64{"none slow": 1 << 62, "1 in 1000 slow": 1000, "1 in 2 slow": 2} {
		b.Run(name, func(b *testing.B) {
			tr, offset := NewTracker(0), int64(0)
			for b.Loop() {
				if !tr.Fits(offset, million, DefaultMetadataSize) {
					tr, offset = NewTracker(0), 0
				}
				tr.Track(offset)
				if done := (offset - 64) ^ 31; done > 0 && done%slow != 0 { // up to 31 offsets out of order
					tr.Settle(done)
				}
				offset++
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	for name, c := range map[string]struct{ span, slow int64 }{
		"million behind the head":     {million, million},
		"million with 1 in 1000 open": {million, 1000},
		"bitmap with 1 in 3 open":     {SpanThatFits(DefaultMetadataSize), 3},
	} {
		b.Run(name, func(b *testing.B) {
			tr := NewTracker(0)
			for offset := range c.span {
				tr.Track(offset)
				if offset%c.slow != 0 {
					tr.Settle(offset)
				}
			}
			size := 0
			for b.Loop() {
				size = len(Encode(tr, nil, DefaultMetadataSize))
			}
			b.ReportMetric(float64(size), "bytes")
		})
	}
}
