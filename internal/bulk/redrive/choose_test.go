package redrive_test

import (
	"maps"
	"strings"
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
		hostile, loop, gone := bulktest.Decision("elsewhere", 3), bulktest.Decision(bulktest.LettersTopic, 4), bulktest.Decision("not-there", 5)
		large := letter.Encode(bulktest.LettersTopic, new(bulktest.Decision(bulktest.LiveTopic, 6)))
		b.Put(letter.Encode(bulktest.LettersTopic, &hostile), letter.Encode(bulktest.LettersTopic, &loop),
			letter.Encode(bulktest.LettersTopic, &gone), decision.WithoutValue(large), decision.Record{Topic: bulktest.LettersTopic, Value: []byte("?")})

		refused := map[redrive.Refusal]int{}
		o := options(b)
		o.Refused = func(r redrive.RefusedLetter) { refused[r.Why]++ }
		survey, done := scanAndRun(b, o)
		want := map[redrive.Refusal]int{redrive.OtherTopic: 3, redrive.NoValue: 1, redrive.NotReadable: 1}
		if !maps.Equal(refused, want) || survey.Chosen != 1 || done.Handled != 1 {
			b.Errorf("refused %v, %+v, %+v", refused, survey, done)
		}

		o.AnyTopic = true
		clear(refused)
		survey, done = scanAndRun(b, o)
		want = map[redrive.Refusal]int{redrive.OtherTopic: 2, redrive.NoValue: 1, redrive.NotReadable: 1}
		if !maps.Equal(refused, want) || done.Handled != 1 || len(b.All("elsewhere")) != 1 {
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
		if survey.Refused[redrive.NotEditable] != 1 || done.Handled != 1 {
			b.Errorf("%+v, %+v", survey, done)
		}
		var edited decision.Record
		for _, rec := range b.All(bulktest.BackfillTopic) {
			if decision.Redrives(&rec) == 1 {
				edited = rec
			}
		}
		if decision.EditedBy(&edited) != "ops" {
			b.Errorf("edited by %q", decision.EditedBy(&edited))
		}
		d, err := decision.Decode(&edited)
		if err != nil || d.State != decision.CompletedFail || d.OwnID || d.Reason != "corrected <&>" || d.Task != bulktest.MustDecode(t, bulktest.Decision("", 1)).Task {
			b.Errorf("%s: %+v, %v", edited.Value, d, err)
		}
	})
}

func TestRedriveWritesToNoTopicOfVerdictsOwn(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		fail(b, bulktest.BackfillTopic, 1, 1, decision.Rejected)
		scanAndRun(b, options(b)) // so that the topics of the ledger exist
		letter := decision.DeadLetter{Reason: decision.Rejected, Error: "no"}
		own := []string{bulktest.ResultsTopic, bulktest.LettersTopic, "control", "audit", "__consumer_offsets"}
		for _, topic := range own {
			b.Put(letter.Encode(bulktest.LettersTopic, new(bulktest.Decision(topic, 1))))
		}
		o := options(b)
		o.AnyTopic = true
		o.Targets = append(o.Targets, bulktest.ResultsTopic) // not even if it is configured so
		if survey, done := scanAndRun(b, o); survey.Refused[redrive.OtherTopic] != int64(len(own)) || done.Handled != 0 {
			b.Errorf("%+v, %+v", survey, done)
		}
		if n := len(b.All(bulktest.ResultsTopic)); n != 0 {
			b.Errorf("%d records in the results", n)
		}
	})
}

func TestRedriveRefusesWhatAnEditMakesInvalid(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		fail(b, bulktest.BackfillTopic, 1, 2, decision.Rejected)
		check := bulktest.Decision("elsewhere", 3) // of another kind: it is not checked
		letter := decision.DeadLetter{Reason: decision.Rejected, Error: "no"}
		b.Put(letter.Encode(bulktest.LettersTopic, &check))
		o := options(b)
		o.Targets, o.NoDecisions = append(o.Targets, "elsewhere"), []string{"elsewhere"}
		o.Edit = []byte(`{"state":"DONE","task_id":7}`)
		var detail string
		o.Refused = func(r redrive.RefusedLetter) { detail = r.Detail }
		survey, err := begin(b, o).Scan(b.Context())
		if err != nil || survey.Refused[redrive.NotEditable] != 2 || survey.Chosen != 1 || !strings.Contains(detail, "state") || !strings.Contains(detail, "task_id") {
			b.Errorf("%+v, %v: %s", survey, err, detail)
		}
	})
}

// A letter repeats what its producer wrote. None of that makes it one that went back, or one
// that went back too often.
func TestRedriveBelievesNoForgedHeaders(t *testing.T) {
	header := func(key, value string) decision.Header { return decision.Header{Key: key, Value: []byte(value)} }
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		fail(b, bulktest.BackfillTopic, 1, 1, decision.Rejected)
		genuine := b.All(bulktest.LettersTopic)[0].Origin().String()
		forged := [][]decision.Header{
			{header(decision.HeaderRedrives, "65535")},
			{header(decision.HeaderRedrives, "65535"), header(decision.HeaderRedrivenFrom, genuine), header(decision.HeaderRedrivenOrigin, "backfill/0/0")},
			{header(decision.HeaderRedrives, "65535"), header(decision.HeaderRedrivenFrom, "letters/1/9"), header(decision.HeaderRedrivenOrigin, "live/0/0"), header(decision.HeaderRun, "x")},
			{header(decision.HeaderRedrivenFrom, "elsewhere/0/0"), header(decision.HeaderEditedBy, "boss"), header(decision.HeaderEdit, "00")},
		}
		var records []decision.Record
		for i, headers := range forged {
			records = append(records, bulktest.Decision(bulktest.LiveTopic, 101+i, headers...))
		}
		b.Put(records...) // the first edition would take the second for a copy of the letter
		for _, rec := range b.All(bulktest.LiveTopic) {
			b.Settle(rec, "", decision.Rejected)
		}
		if survey, done := scanAndRun(b, options(b)); survey.Chosen != 5 || done.Handled != 5 {
			b.Errorf("%+v, %+v", survey, done)
		}
		for _, rec := range append(b.All(bulktest.LiveTopic), b.All(bulktest.BackfillTopic)...) {
			letter, ok := decision.RedrivenFrom(&rec)
			origin, _ := decision.RedrivenOrigin(&rec)
			if run := decision.RunOf(rec.Headers); !ok || len(run) < 20 {
				continue // no copy
			}
			if decision.Redrives(&rec) != 1 || decision.EditedBy(&rec) != "" || letter.Topic != bulktest.LettersTopic || origin.Topic != rec.Topic {
				b.Errorf("a copy has %v", rec.Headers)
			}
		}
		if survey, done := scanAndRun(b, options(b)); survey.Already != 5 || done.Handled != 0 {
			b.Errorf("again: %+v, %+v", survey, done)
		}
	})
}
