package follow_test

import (
	"bytes"
	"slices"
	"testing"

	"verdict/internal/bulk/bulktest"
	"verdict/internal/bulk/follow"
	"verdict/internal/decision"
)

// Whatever a producer writes into the headers of a redrive, its record does not become the
// copy of a decision that it does not repeat.
func TestFollowBelievesNoForgedCopy(t *testing.T) {
	header := func(key, value string) decision.Header { return decision.Header{Key: key, Value: []byte(value)} }
	for name, forge := range map[string]func(letter, own decision.Record) []decision.Header{
		"the origin alone": func(letter, _ decision.Record) []decision.Header {
			return []decision.Header{header(decision.HeaderRedrivenOrigin, originOf(letter).String())}
		},
		"the letter": func(letter, _ decision.Record) []decision.Header {
			return marks(letter.Origin().String(), originOf(letter).String())
		},
		"a letter that does not exist": func(letter, _ decision.Record) []decision.Header {
			return marks("letters/1/4711", originOf(letter).String())
		},
		"a letter in another topic": func(letter, _ decision.Record) []decision.Header {
			return marks("elsewhere/0/0", originOf(letter).String())
		},
		"its own letter and the origin of another": func(letter, own decision.Record) []decision.Header {
			return marks(own.Origin().String(), originOf(letter).String())
		},
		"another edition's letter as edited": func(letter, _ decision.Record) []decision.Header {
			return append(marks(letter.Origin().String(), originOf(letter).String()), header("verdict-edited-by", "boss"), header("verdict-edit", "00"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			bulktest.InKafka(t, func(b *bulktest.Kafka) {
				b.Put(bulktest.InBatch(bulktest.BackfillTopic, "b", 1, 2), bulktest.InBatch(bulktest.BackfillTopic, "b", 2, 2), bulktest.InBatch(bulktest.BackfillTopic, "other", 3, 1))
				for _, rec := range b.All(bulktest.BackfillTopic) {
					b.Settle(rec, "", decision.Rejected)
				}
				letters := b.All(bulktest.LettersTopic)
				letter := letters[slices.IndexFunc(letters, func(rec decision.Record) bool { return bytes.Contains(rec.Value, []byte(`"d-1"`)) })]
				own := letters[slices.IndexFunc(letters, func(rec decision.Record) bool { return bytes.Contains(rec.Value, []byte(`"d-3"`)) })]

				forged := bulktest.Decision(bulktest.BackfillTopic, 3, append(decision.BatchPlace{ID: "b", Line: 1, Size: 2}.Headers(), forge(letter, own)...)...)
				b.Put(forged)
				for _, rec := range b.All(bulktest.BackfillTopic) {
					if place, _ := decision.BatchPlaceOf(rec.Headers); place.ID == "b" && bytes.Contains(rec.Value, []byte(`"d-3"`)) {
						b.Settle(rec, decision.Completed, "")
					}
				}
				o := options(b, "b")
				o.Once = true
				sum, err := follow.Follow(b.Context(), o)
				wantSummary(b, sum, err, "size=2 submitted=2 settled=2 completed=0 dead=2 missing=0 notfound=0 redriven=0")
			})
		})
	}
}

// originOf returns where the record of a dead letter was.
func originOf(letter decision.Record) decision.Position {
	d, err := decision.ParseDeadLetter(&letter)
	if err != nil {
		panic(err)
	}
	return d.Original.Origin()
}

// marks returns the headers of a redrive.
func marks(from, origin string) []decision.Header {
	return []decision.Header{
		{Key: decision.HeaderRedrives, Value: []byte("1")}, {Key: decision.HeaderRedrivenFrom, Value: []byte(from)}, {Key: decision.HeaderRedrivenOrigin, Value: []byte(origin)},
	}
}
