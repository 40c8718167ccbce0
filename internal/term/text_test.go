package term

import (
	"slices"
	"testing"
	"time"
)

func TestCommasSeparatesThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 123456: "123,456", 1234567: "1,234,567"} {
		if got := Commas(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestPluralAgreesWithTheCount(t *testing.T) {
	for n, want := range map[int][2]string{0: {"0 rows", "0 rows are"}, 1: {"1 row", "1 row is"}, 1200: {"1,200 rows", "1,200 rows are"}} {
		if got := [2]string{Plural(n, "row"), PluralIs(int64(n), "row")}; got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestDaysFormatsLongDurationsInDays(t *testing.T) {
	const day = 24 * time.Hour
	for d, want := range map[time.Duration]string{
		time.Hour: "1h0m0s", day: "1d", day + time.Hour: "25h0m0s", 7 * day: "7d", 10*day + time.Hour: "10d", 36500 * day: "36500d",
	} {
		if got := Days(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestOneLineRemovesWhatSteersTheTerminal(t *testing.T) {
	if got, want := OneLine("a\nb\x1b[2Jc\u009bd\u2028e\xff"), "a b [2Jc d e\uFFFD"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestSettingExplainsRetention(t *testing.T) {
	for value, want := range map[string]string{"604800000": "retention.ms 604800000 (7d)", "-1": "retention.ms -1 (no limit)", "x": "retention.ms x"} {
		if got := Setting("retention.ms", value); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got, want := Setting("cleanup.policy", "delete"), "cleanup.policy delete"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestWrapKeepsWordsAndWidth(t *testing.T) {
	const text = "one two  three\nfour abcdefghijklmnop five"
	if got, want := Wrap(text, 11, "  "), "  one two\n  three\n  four\n  abcdefghijklmnop\n  five\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := Wrap("", 10, "  "); got != "" {
		t.Errorf("%q", got)
	}
}

func TestByCountSortsByCountThenKey(t *testing.T) {
	if got, want := ByCount(map[string]int64{"a": 1, "c": 2, "b": 2}), []string{"b", "c", "a"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
