package redrive_test

import (
	"maps"
	"testing"
	"time"

	"verdict/internal/bulk/bulktest"
	"verdict/internal/bulk/redrive"
	"verdict/internal/decision"
)

func TestRedriveRefusesLettersThatCanNotGoBack(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		fail(b, bulktest.BackfillTopic, 1, 1, decision.Rejected)
		letter := decision.DeadLetter{Reason: decision.Rejected, Error: "no", DecisionID: "x", FailedAt: decision.Time{Time: time.Now()}}
		often := bulktest.Decision(bulktest.LiveTopic, 2, decision.Header{Key: decision.HeaderRedrives, Value: []byte("3")})
		hostile, loop, gone := bulktest.Decision("elsewhere", 3), bulktest.Decision(bulktest.LettersTopic, 4), bulktest.Decision("not-there", 5)
		large := letter.Encode(bulktest.LettersTopic, new(bulktest.Decision(bulktest.LiveTopic, 6)))
		b.Put(letter.Encode(bulktest.LettersTopic, &often), letter.Encode(bulktest.LettersTopic, &hostile), letter.Encode(bulktest.LettersTopic, &loop),
			letter.Encode(bulktest.LettersTopic, &gone), decision.WithoutValue(large), decision.Record{Topic: bulktest.LettersTopic, Value: []byte("?")})

		refused := map[redrive.Refusal]int{}
		o := options(b)
		o.Refused = func(r redrive.RefusedLetter) { refused[r.Why]++ }
		survey, done := scanAndRun(b, o)
		want := map[redrive.Refusal]int{redrive.OverMax: 1, redrive.OtherTopic: 3, redrive.NoValue: 1, redrive.NotReadable: 1}
		if !maps.Equal(refused, want) || survey.Chosen != 1 || done.Redriven != 1 {
			b.Errorf("refused %v, %+v, %+v", refused, survey, done)
		}

		o.AnyTopic, o.MaxRedrives = true, 4
		clear(refused)
		survey, done = scanAndRun(b, o)
		want = map[redrive.Refusal]int{redrive.OtherTopic: 2, redrive.NoValue: 1, redrive.NotReadable: 1}
		if !maps.Equal(refused, want) || done.Redriven != 2 || len(b.All("elsewhere")) != 1 {
			b.Errorf("with --any-topic: refused %v, %+v, %+v", refused, survey, done)
		}
	})
}

func TestRedriveEditsValuesByMergePatch(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		fail(b, bulktest.BackfillTopic, 1, 1, decision.Rejected)
		letter := decision.DeadLetter{Reason: decision.InvalidEvent, Error: "no"}
		broken := decision.Record{Topic: bulktest.LiveTopic, Value: []byte(`{"id":`)}
		b.Put(letter.Encode(bulktest.LettersTopic, &broken))
		o := options(b)
		o.Edit = []byte(`{"state":"COMPLETED_FAIL","id":null,"reason":"corrected <&>"}`)
		survey, done := scanAndRun(b, o)
		if survey.Refused[redrive.NotEditable] != 1 || done.Redriven != 1 {
			b.Errorf("%+v, %+v", survey, done)
		}
		var edited decision.Record
		for _, rec := range b.All(bulktest.BackfillTopic) {
			if decision.Redrives(&rec) == 1 {
				edited = rec
			}
		}
		d, err := decision.Decode(&edited)
		if err != nil || d.State != decision.CompletedFail || d.OwnID || d.Reason != "corrected <&>" || d.Task != bulktest.MustDecode(t, bulktest.Decision("", 1)).Task {
			b.Errorf("%s: %+v, %v", edited.Value, d, err)
		}
	})
}
