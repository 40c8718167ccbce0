package processor

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestUnsettledKeepsFirstAndLastInAnyOrderOfLeaving(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var h unsettled
	var inside []*job
	for range 10_000 {
		if len(inside) == 0 || r.IntN(2) == 0 {
			j := &job{}
			h.add(j)
			inside = append(inside, j)
		} else {
			i := r.IntN(len(inside))
			h.remove(inside[i])
			inside = slices.Delete(inside, i, i+1)
		}
		if len(inside) == 0 {
			if h.first != nil || h.last != nil {
				t.Fatal("an empty one has a first or a last")
			}
			continue
		}
		if h.first != inside[0] || h.last != inside[len(inside)-1] {
			t.Fatal("the first or the last is another one")
		}
	}
}
