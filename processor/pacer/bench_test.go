package pacer

import (
	"testing"
	"time"
)

// BenchmarkAllowance prints how much of what an API allows is used, and how many
// calls it refuses, from the 40th second on.
func BenchmarkAllowance(b *testing.B) {
	for _, c := range allowances {
		b.Run(c.name, func(b *testing.B) {
			var used, refused float64
			for b.Loop() {
				seconds := ordinary.simulate(c.server(), 5*time.Minute)
				used, refused = use(seconds[settling/time.Second:], c.allowed)
			}
			b.ReportMetric(used*100, "%used")
			b.ReportMetric(refused*100, "%refused")
		})
	}
	for name, h := range map[string]headers{"bare": bare, "float": float, "integer": integer} {
		b.Run("GCRA, 20 to 100 and back, "+name, func(b *testing.B) {
			var parts []changed
			for b.Loop() {
				parts = changing(client{perSecond: 150, burst: 10, members: 1, workers: 128, latency: 100 * time.Millisecond}, h)
			}
			for i, unit := range []string{"before", "raised", "lowered"} {
				used, refused := use(parts[i].of, parts[i].allowed)
				b.ReportMetric(used*100, "%used-"+unit)
				b.ReportMetric(refused*100, "%refused-"+unit)
			}
		})
	}
}
