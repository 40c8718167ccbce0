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
}
