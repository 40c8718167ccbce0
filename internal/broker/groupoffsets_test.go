package broker_test

import (
	"maps"
	"strings"
	"testing"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"

	"github.com/segmentio/kafka-go"
)

func TestGroupOffsetsOfAGroupWithoutMembers(t *testing.T) {
	inWorld(t, oneTopic(3), func(w *world) {
		t := w.t
		if got, err := w.conn.GroupOffsets(t.Context(), "g", "results"); err != nil || len(got) != 0 {
			t.Errorf("offsets before a commit: %v, %v", got, err)
		}
		want := map[int]broker.GroupOffset{0: {Offset: 7, Metadata: "a b"}, 2: {Offset: 0, Metadata: ""}}
		for range 2 {
			w.cluster.Inject(embedded.Fault{API: embedded.OffsetCommit, Code: int(kafka.NotCoordinatorForGroup), Times: 1})
			if err := w.conn.CommitGroupOffsets(t.Context(), "g", "results", want); err != nil {
				t.Fatal(err)
			}
			got, err := w.conn.GroupOffsets(t.Context(), "g", "results")
			if err != nil || !maps.Equal(got, want) {
				t.Errorf("offsets %v, %v, want %v", got, err, want)
			}
			want[1] = broker.GroupOffset{Offset: 1, Metadata: strings.Repeat("m", 1000)}
		}
		w.cluster.Inject(embedded.Fault{API: embedded.OffsetFetch, Code: int(kafka.GroupAuthorizationFailed), Times: 1})
		_, err := w.conn.GroupOffsets(t.Context(), "g", "results")
		wantErrorIs(t, err, kafka.GroupAuthorizationFailed)
		w.cluster.Inject(embedded.Fault{API: embedded.OffsetCommit, Code: int(kafka.GroupAuthorizationFailed), Times: 1})
		wantErrorIs(t, w.conn.CommitGroupOffsets(t.Context(), "g", "results", want), kafka.GroupAuthorizationFailed)
	})
}
