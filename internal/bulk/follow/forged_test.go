package follow_test

import (
	"bytes"
	"context"
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

// redriven sends a letter back, as redrive does, and returns the copy as it was read.
func redriven(b *bulktest.Kafka, letter decision.Record, value []byte, more ...decision.Header) decision.Record {
	b.Helper()
	l, err := decision.ParseDeadLetter(&letter)
	if err != nil {
		b.Fatal(err)
	}
	rec := l.Redriven(letter.Origin())
	rec.Headers = append(rec.Headers, more...)
	if value != nil {
		rec.Edited(value, "ops", nil)
	}
	offset, err := b.Conn.Append(b.Context(), rec.Topic, rec.Partition, []decision.Record{rec})
	if err != nil {
		b.Fatal(err)
	}
	rec.Offset = offset
	return rec
}

// A decision is redriven again and again, edited on the way; and somebody's record claims to
// be its copy each time.
func TestFollowFollowsADecisionOverItsCopies(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		back := make(map[decision.Position]bool)
		o := options(b, "b")
		o.Once = true
		o.WentBack = func(context.Context) (func(decision.Position) bool, error) {
			return func(at decision.Position) bool { return back[at] }, nil
		}
		b.Put(bulktest.InBatch(bulktest.BackfillTopic, "b", 1, 1))
		rec := b.All(bulktest.BackfillTopic)[0]
		for n := range 4 {
			b.Settle(rec, "", decision.Rejected)
			letters := b.All(bulktest.LettersTopic)
			letter := letters[slices.IndexFunc(letters, func(l decision.Record) bool { return originOf(l) == rec.Origin() })]
			var value []byte
			if n%2 == 1 {
				value = bytes.Replace(letter.Value, []byte("PASS"), []byte("FAIL"), 1)
			}
			// Before the letter goes back, somebody sends what looks like an edited copy.
			forged := bulktest.InBatch(bulktest.BackfillTopic, "b", 1, 1)
			forged.Key, forged.Value = letter.Key, bulktest.Decision("", 100+n).Value
			forged.Headers = append(forged.Headers, marks(letter.Origin().String(), originOf(letter).String())...)
			if n == 0 {
				b.Put(forged)
				sum, err := follow.Follow(b.Context(), o)
				wantSummary(b, sum, err, "size=1 submitted=1 settled=1 completed=0 dead=1 missing=0 notfound=0 redriven=0")
			}
			back[letter.Origin()] = true
			rec = redriven(b, letter, value)
			sum, err := follow.Follow(b.Context(), o)
			wantSummary(b, sum, err, "size=1 submitted=1 settled=0 completed=0 dead=0 missing=1 notfound=0 redriven=1")
			// And after it.
			b.Put(forged)
			for _, other := range b.All(bulktest.BackfillTopic) {
				if bytes.Equal(other.Value, forged.Value) {
					b.Settle(other, decision.Completed, "")
				}
			}
			sum, err = follow.Follow(b.Context(), o)
			wantSummary(b, sum, err, "size=1 submitted=1 settled=0 completed=0 dead=0 missing=1 notfound=0 redriven=1")
		}
		b.Settle(rec, decision.Completed, "")
		sum, err := follow.Follow(b.Context(), o)
		wantSummary(b, sum, err, "size=1 submitted=1 settled=1 completed=1 dead=0 missing=0 notfound=0 redriven=1")
	})
}

// A record that claims to be the copy of somebody's decision is dead-lettered, and its own
// letter goes back: the copy is one of that record, whatever it still says.
func TestFollowFindsWhoseCopyAForgedRecordsCopyIs(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		b.Put(bulktest.InBatch(bulktest.BackfillTopic, "b", 1, 1))
		first := b.All(bulktest.BackfillTopic)[0]
		b.Settle(first, "", decision.Rejected)
		victim := b.All(bulktest.LettersTopic)[0]
		forged := bulktest.Decision(bulktest.LiveTopic, 3, append(decision.BatchPlace{ID: "b", Line: 1, Size: 1}.Headers(), marks(victim.Origin().String(), first.Origin().String())...)...)
		b.Put(forged)
		b.Settle(b.All(bulktest.LiveTopic)[0], "", decision.Rejected)
		letters := b.All(bulktest.LettersTopic)
		own := letters[slices.IndexFunc(letters, func(l decision.Record) bool { return originOf(l).Topic == bulktest.LiveTopic })]
		b.Settle(redriven(b, own, nil), decision.Completed, "")
		o := options(b, "b")
		o.Once = true
		sum, err := follow.Follow(b.Context(), o)
		wantSummary(b, sum, err, "size=1 submitted=1 settled=1 completed=0 dead=1 missing=0 notfound=0 redriven=0")
	})
}

// Where the ledger knows the batch's runs, a record of nobody's run is none of the batch's
// because it claims to be a copy.
func TestFollowCountsNoForgedCopyAsADecisionOfItsOwn(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		ours := bulktest.InBatch(bulktest.BackfillTopic, "b", 1, 1)
		ours.Headers = append(ours.Headers, decision.Header{Key: decision.HeaderRun, Value: []byte("ours")})
		forged := bulktest.InBatch(bulktest.BackfillTopic, "b", 2, 1)
		forged.Headers = append(forged.Headers, marks("letters/0/0", "backfill/0/0")...)
		b.Put(ours, forged)
		for _, rec := range b.All(bulktest.BackfillTopic) {
			b.Settle(rec, "", decision.Rejected)
		}
		for _, letter := range b.All(bulktest.LettersTopic) {
			if bytes.Contains(letter.Value, []byte(`"d-1"`)) { // and its true copy counts
				b.Settle(redriven(b, letter, nil, decision.Header{Key: decision.HeaderRun, Value: []byte("redrive")}), decision.Completed, "")
			}
		}
		o := options(b, "b")
		o.Once, o.Runs = true, []string{"ours"}
		sum, err := follow.Follow(b.Context(), o)
		wantSummary(b, sum, err, "size=1 submitted=1 settled=1 completed=1 dead=0 missing=0 notfound=0 redriven=1")
	})
}
