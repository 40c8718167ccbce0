package offsets

import "testing"

func BenchmarkTracker(b *testing.B) {
	tr := NewTracker(0, 20000)
	offset := int64(0)
	for b.Loop() {
		tr.Track(offset)
		if offset >= 64 {
			tr.Settle((offset - 64) ^ 31) // up to 31 offsets out of order
		}
		offset++
	}
}

func BenchmarkEncode(b *testing.B) {
	tr := NewTracker(0, 20000)
	for offset := range int64(20000) {
		tr.Track(offset)
		if offset%3 != 0 {
			tr.Settle(offset)
		}
	}
	size := 0
	for b.Loop() {
		size = len(Encode(tr, nil, DefaultMetadataSize))
	}
	b.ReportMetric(float64(size), "bytes")
}
