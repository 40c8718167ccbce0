package broker_test

import (
	"testing"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
)

func TestTopicThatIsMadeAgainHasAnotherID(t *testing.T) {
	inWorld(t, embedded.Options{Topics: map[string]int{"a": 1, "b": 1}}, func(w *world) {
		ids := func() map[string]broker.TopicID {
			ids, err := w.conn.TopicIDs(w.t.Context(), "a", "b", "none")
			if err != nil {
				w.t.Fatal(err)
			}
			return ids
		}
		before := ids()
		if _, ok := before["none"]; ok || len(before) != 2 || before["a"] == before["b"] || before["a"] == (broker.TopicID{}) {
			w.t.Errorf("%v", before)
		}
		if err := w.cluster.DeleteTopic("a"); err != nil {
			w.t.Fatal(err)
		}
		if gone := ids(); len(gone) != 1 || gone["b"] != before["b"] {
			w.t.Errorf("%v", gone)
		}
		if err := w.cluster.CreateTopic("a", 1, nil); err != nil {
			w.t.Fatal(err)
		}
		if after := ids(); after["a"] == before["a"] || after["b"] != before["b"] {
			w.t.Errorf("%v, before %v", after, before)
		}
	})
}
