package retry

import (
	"testing"
	"time"
)

func TestBackoffDoublesWithFullJitterUpToMax(t *testing.T) {
	const least, most = 250 * time.Millisecond, time.Minute
	for n, bound := range map[int]time.Duration{
		0: least, 1: least, 2: 2 * least, 3: 4 * least, 8: 32 * time.Second, 9: most, 40: most, 1000: most,
	} {
		longest := time.Duration(0)
		for range 2000 {
			d := Policy{Min: least, Max: most}.Backoff(n)
			if d <= 0 || d > bound {
				t.Fatalf("after %d failures: %v, the bound is %v", n, d, bound)
			}
			longest = max(longest, d)
		}
		if longest < bound*9/10 {
			t.Errorf("after %d failures: never more than %v of %v", n, longest, bound)
		}
	}
}
