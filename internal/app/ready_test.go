package app

import "testing"

func TestReadinessNamesWhatIsMissing(t *testing.T) {
	var r readiness
	joined, refused := false, false
	want := func(text string) {
		t.Helper()
		got := ""
		if err := r.err(); err != nil {
			got = err.Error()
		}
		if got != text {
			t.Errorf("got %q, want %q", got, text)
		}
	}
	want("not a member of the consumer group yet")
	r.follow(func() bool { return joined }, func() bool { return refused })
	want("not a member of the consumer group yet")
	joined = true
	want("")
	refused = true
	want("paused: the API key is refused")
	refused = false
	want("")
	r.stop()
	want("stopping")
}
