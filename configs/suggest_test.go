package configs

import (
	"testing"

	"pgregory.net/rapid"
)

func TestNearestFindsMistypedKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.SampledFrom(table).Draw(t, "key")
		i := rapid.IntRange(0, len(k.Name)-1).Draw(t, "at")
		typo := k.Name[:i] + rapid.SampledFrom([]string{"", "x", "_"}).Draw(t, "replacement") + k.Name[i+1:]
		got := Nearest(typo, names(Key.name))
		if d := distance(typo, got); d > distance(typo, k.Name) && distance(last(typo), last(got))+2 > distance(typo, k.Name) {
			t.Errorf("nearest to %s is %s, not %s", typo, got, k.Name)
		}
	})
}

func TestDistanceIsAMetric(t *testing.T) {
	word := rapid.StringMatching(`[abc]{0,6}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := word.Draw(t, "a"), word.Draw(t, "b"), word.Draw(t, "c")
		if (distance(a, b) == 0) != (a == b) || distance(a, b) != distance(b, a) || distance(a, c) > distance(a, b)+distance(b, c) {
			t.Errorf("%q %q %q: %d %d %d", a, b, c, distance(a, b), distance(b, c), distance(a, c))
		}
	})
}
