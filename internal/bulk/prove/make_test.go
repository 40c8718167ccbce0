package prove_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"
	"time"

	"verdict/internal/broker"
	"verdict/internal/bulk/bulktest"
	"verdict/internal/bulk/follow"
	"verdict/internal/bulk/prove"
	"verdict/internal/bulk/redrive"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

var signKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

// by returns the ledger as one run of a command uses it.
func by(b *bulktest.Kafka, command, run string) store.Options {
	return store.Options{
		Connection: b.Conn, Control: "control", Audit: "audit", Group: "verdict",
		Author: ledger.Author{Actor: "ops", Host: "backoffice", Run: run, Command: command, Why: "because"},
	}
}

func options(b *bulktest.Kafka, batch string) prove.Options {
	l := by(b, "prove", "proof")
	l.Sign = signKey
	return prove.Options{
		Ledger: l, BatchID: batch, Decisions: []string{bulktest.LiveTopic, bulktest.BackfillTopic}, Results: bulktest.ResultsTopic, DeadLetters: bulktest.LettersTopic,
		Version: "v2", Dir: b.TempDir(),
		WentBack: func(ctx context.Context) (func(decision.Position) bool, error) {
			return redrive.WentBack(ctx, l, bulktest.LettersTopic)
		},
	}
}

func mustWrite(b *bulktest.Kafka, o store.Options, owns ledger.Key, c store.Change) []decision.Position {
	b.Helper()
	w, err := store.Open(b.Context(), o, owns)
	if err != nil {
		b.Fatal(err)
	}
	placed, err := w.Write(b.Context(), c)
	if err != nil {
		b.Fatal(err)
	}
	return placed
}

// act returns an act under a key.
func act(key ledger.Key) ledger.Act { return ledger.Act{Key: key.In("verdict")} }

func runHeader(run string) decision.Header {
	return decision.Header{Key: decision.HeaderRun, Value: []byte(run)}
}

// row returns the record of a row as submit sends it.
func row(batch, run string, i, size int) decision.Record {
	rec := bulktest.InBatch(bulktest.BackfillTopic, batch, i, size)
	rec.Headers = append(rec.Headers, runHeader(run))
	rec.Partition = broker.ByKey
	return rec
}

// submitted writes a batch of this size to the ledger and the topic in one run, as submit does.
func submitted(b *bulktest.Kafka, batch, run string, size int) {
	b.Helper()
	ends, err := b.Conn.LogEnds(b.Context(), bulktest.BackfillTopic)
	if err != nil {
		b.Fatal(err)
	}
	o := by(b, "submit", run)
	change := store.Change{
		Entries: []store.KeyedEntry{{Key: ledger.BatchKey(batch), Entry: ledger.Entry{Batch: &ledger.Batch{
			Topic: bulktest.BackfillTopic, Size: int64(size), Sent: int64(size), Content: "abc", Files: []string{"a.csv"}, Began: time.Now(), Ended: time.Now(),
			Submitter: o.Author, Runs: []string{run}, Begin: ends,
		}}}},
		Acts: []ledger.Act{act(ledger.BatchKey(batch))},
	}
	for i := range size {
		change.Rows = append(change.Rows, row(batch, run, i+1, size))
	}
	mustWrite(b, o, ledger.BatchKey(batch), change)
}

// made makes evidence.
func made(b *bulktest.Kafka, o prove.Options) (string, prove.Written) {
	b.Helper()
	e, err := prove.Gather(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	var out bytes.Buffer
	w, err := e.Write(b.Context(), &out, nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := e.Record(b.Context(), "spring.jsonl", w); err != nil {
		b.Fatal(err)
	}
	return out.String(), w
}

func mustCheck(b *bulktest.Kafka, evidence string) *prove.Checked {
	b.Helper()
	c, err := prove.Check(strings.NewReader(evidence))
	if err != nil {
		b.Fatalf("%v\n%s", err, evidence)
	}
	return c
}

// decisions returns the lines of decisions, by their IDs, and checks that they are in order.
func decisions(b *bulktest.Kafka, evidence string) map[string]prove.Decision {
	b.Helper()
	all := make(map[string]prove.Decision)
	for line := range strings.Lines(evidence) {
		var d prove.Decision
		if err := json.Unmarshal([]byte(line), &d); err != nil || d.Type != "decision" {
			continue
		}
		id := fmt.Sprintf("gone-%d", d.Origin.Offset)
		if d.Record != nil {
			id = d.Record.ID
		}
		all[id] = d
	}
	return all
}

func wantOutcomes(b *bulktest.Kafka, evidence string, want map[string]string) {
	b.Helper()
	got := make(map[string]string)
	for id, d := range decisions(b, evidence) {
		got[id] = strings.TrimSpace(d.Outcome + " " + d.Reason)
	}
	if !maps.Equal(got, want) {
		b.Errorf("outcomes %v, want %v", got, want)
	}
}

// find returns the record of a decision in a topic, by its ID; the nth of them.
func find(b *bulktest.Kafka, topic, id string, nth int) decision.Record {
	b.Helper()
	for _, rec := range b.All(topic) {
		if bytes.Contains(rec.Value, []byte(`"`+id+`"`)) {
			if nth--; nth < 0 {
				return rec
			}
		}
	}
	b.Fatalf("%s has no such record of %s", topic, id)
	return decision.Record{}
}

// redriven returns the copy of a decision's dead letter that goes back.
func redriven(b *bulktest.Kafka, id string, headers ...decision.Header) decision.Record {
	b.Helper()
	letter := find(b, bulktest.LettersTopic, id, 0)
	l, err := decision.ParseDeadLetter(&letter)
	if err != nil {
		b.Fatal(err)
	}
	rec := l.Redriven(letter.Origin())
	rec.Headers = append(rec.Headers, headers...)
	rec.Partition = broker.ByKey
	return rec
}

// lettersKey returns the key of the topic of dead letters.
func lettersKey(b *bulktest.Kafka) ledger.Key {
	b.Helper()
	ids, err := b.Conn.TopicIDs(b.Context(), bulktest.LettersTopic)
	if err != nil {
		b.Fatal(err)
	}
	id := ids[bulktest.LettersTopic]
	return ledger.Key{Kind: ledger.KindRedrive, Name: hex.EncodeToString(id[:])}
}

// windows returns what the ledger says once the letters of these decisions went back or were
// dismissed.
func windows(b *bulktest.Kafka, redriven, dismissed []string) []store.KeyedEntry {
	b.Helper()
	all := make(map[int]*ledger.Window)
	set := func(id string, bits func(*ledger.Window) *[]byte) {
		letter := find(b, bulktest.LettersTopic, id, 0)
		if all[letter.Partition] == nil {
			all[letter.Partition] = &ledger.Window{Redriven: make([]byte, 10), Dismissed: make([]byte, 10)}
		}
		(*bits(all[letter.Partition]))[letter.Offset/8] |= 1 << (letter.Offset % 8)
	}
	for _, id := range redriven {
		set(id, func(w *ledger.Window) *[]byte { return &w.Redriven })
	}
	for _, id := range dismissed {
		set(id, func(w *ledger.Window) *[]byte { return &w.Dismissed })
	}
	entries := []store.KeyedEntry{{Key: lettersKey(b), Entry: ledger.Entry{Window: &ledger.Window{}}}}
	for partition, w := range all {
		entries = append(entries, store.KeyedEntry{Key: ledger.WindowKey(lettersKey(b).Name, partition, 0), Entry: ledger.Entry{Window: w}})
	}
	return entries
}

// whoAndWhen matches what may differ between evidence that is made twice.
var whoAndWhen = regexp.MustCompile(`"made":\{[^}]*\}|"hash":"[0-9a-f]*"|"signature":"[^"]*"`)

func TestEvidenceShowsWhatBecameOfABatch(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		submitted(b, "earlier", "r0", 8)
		submitted(b, "spring", "r1", 8)
		submitted(b, "other", "r2", 1)
		for i := 1; i <= 6; i++ {
			rec := find(b, bulktest.BackfillTopic, fmt.Sprint("d-", i), 1) // the second batch's: the first has the same IDs
			if i <= 2 {
				d := bulktest.MustDecode(t, rec)
				result := decision.Result{
					DecisionID: d.ID, DecisionKey: d.Identity().String(), ProfileID: d.Task.ProfileID, TaskID: d.Task.TaskID, State: d.State, Outcome: decision.Completed, Attempts: 1, HTTPStatus: 200,
					Task: json.RawMessage(`{"id":"x","state":"COMPLETED_PASS","assignee":"Jane Doe"}`), Origin: rec.Origin(),
				}
				b.Put(result.Encode(bulktest.ResultsTopic, rec.Key))
			} else {
				b.Settle(rec, "", decision.Rejected)
			}
		}
		b.Settle(find(b, bulktest.BackfillTopic, "d-1", 2), decision.Completed, "") // of the other batch

		// 3 goes back by the ledger and is completed; 4 goes back edited.
		edited := redriven(b, "d-4", runHeader("r3"))
		edited.Value = bytes.Replace(edited.Value, []byte("PASS"), []byte("FAIL"), 1)
		o := by(b, "redrive", "r3")
		mustWrite(b, o, ledger.BatchKey("redrive-1"), store.Change{
			Rows: []decision.Record{redriven(b, "d-3", runHeader("r3")), edited},
			Entries: append(windows(b, []string{"d-3", "d-4"}, []string{"d-5"}),
				store.KeyedEntry{Key: ledger.BatchKey("redrive-1"), Entry: ledger.Entry{Batch: &ledger.Batch{Topic: bulktest.LettersTopic, Runs: []string{"r3"}, Redrive: true}}}),
			Acts: []ledger.Act{act(ledger.BatchKey("redrive-1"))},
		})
		mustWrite(b, by(b, "dismiss", "r5"), lettersKey(b), store.Change{Acts: []ledger.Act{act(lettersKey(b))}})
		b.Settle(find(b, bulktest.BackfillTopic, "d-3", 2), decision.Completed, "")
		b.Settle(find(b, bulktest.BackfillTopic, "d-4", 2), decision.AlreadyComplete, "")

		// Somebody claims to have redriven 5, and 6 as another decision, and names the batch.
		fifth := find(b, bulktest.BackfillTopic, "d-5", 1)
		forged := bulktest.InBatch(bulktest.BackfillTopic, "spring", 5, 8)
		forged.Headers = append(forged.Headers,
			decision.Header{Key: decision.HeaderRedrivenOrigin, Value: []byte(fifth.Origin().String())},
			decision.Header{Key: decision.HeaderRedrivenFrom, Value: []byte("letters/0/999")})
		wrong := redriven(b, "d-6")
		wrong.Value = bytes.Replace(wrong.Value, []byte(`"d-6"`), []byte(`"d-66"`), 1)
		b.Put(forged, wrong, bulktest.InBatch(bulktest.BackfillTopic, "spring", 9, 8), bulktest.Named(bulktest.BackfillTopic, "spring", 10))
		b.Settle(find(b, bulktest.BackfillTopic, "d-5", 2), decision.Completed, "")
		b.Settle(find(b, bulktest.BackfillTopic, "d-66", 0), decision.Completed, "")
		b.Settle(find(b, bulktest.BackfillTopic, "d-10", 0), decision.Completed, "")

		// Neither does it become the batch's what was there before it, or what is another's.
		before := find(b, bulktest.BackfillTopic, "d-8", 0)
		named := bulktest.MustDecode(t, before)
		result := decision.Result{
			DecisionID: named.ID, DecisionKey: named.Identity().String(), ProfileID: named.Task.ProfileID, TaskID: named.Task.TaskID, State: named.State, Outcome: decision.Completed, BatchID: "spring", Origin: before.Origin(),
		}
		others := find(b, bulktest.BackfillTopic, "d-1", 2)
		phantom := bulktest.InBatch(bulktest.BackfillTopic, "spring", 11, 8)
		phantom.Headers = append(phantom.Headers, decision.Header{Key: decision.HeaderRedrivenOrigin, Value: []byte(others.Origin().String())})
		nothing := bulktest.InBatch(bulktest.BackfillTopic, "spring", 12, 8)
		nothing.Headers = append(nothing.Headers, decision.Header{Key: decision.HeaderRedrivenOrigin, Value: []byte("backfill/0/9999")})
		b.Put(result.Encode(bulktest.ResultsTopic, before.Key), phantom, nothing)

		mustWrite(b, by(b, "hold", "r4"), ledger.HoldBatch("spring"), store.Change{Acts: []ledger.Act{act(ledger.HoldBatch("spring")), act(ledger.HoldBatch("other")), act(ledger.BatchKey("other"))}})

		evidence, w := made(b, options(b, "spring"))
		c := mustCheck(b, evidence)
		wantOutcomes(b, evidence, map[string]string{
			"d-1": "completed", "d-2": "completed", "d-3": "completed", "d-4": "already_complete",
			"d-5": "dead_lettered rejected", "d-6": "dead_lettered rejected", "d-7": "unsettled", "d-8": "unsettled",
		})
		n := c.Counts
		// The acts: submit, redrive, dismiss, and hold.
		if n.Decisions != 8 || n.Outcomes["completed"] != 3 || n.Reasons["rejected"] != 2 || n.Unsettled != 2 || n.NotFound != 0 || n.Redriven != 2 || n.Unconfirmed != 0 || n.Commands != 4 {
			b.Errorf("counts %+v\n%s", n, evidence)
		}
		if w.Hash != c.Hash || w.Lines != c.Lines || !w.Signed || !signKey.Public().(ed25519.PublicKey).Equal(c.Key) {
			b.Errorf("written %+v, checked %+v", w, c)
		}
		m := c.Manifest
		if m.Members != prove.ByRuns || m.Ledger == nil || m.Ledger.Batch.Files[0] != "a.csv" || m.Ledger.Batch.Submitter.Actor != "ops" || m.Made.Why != "because" || m.Unsettled != 2 || m.Cluster != "embedded" {
			b.Errorf("manifest %+v", m)
		}
		d := decisions(b, evidence)["d-1"]
		if d.Line != 1 || d.Results[0].TaskState != "COMPLETED_PASS" || d.Record.Run != "r1" || d.Record.DecisionKey == "" {
			b.Errorf("%+v", d)
		}
		if all := decisions(b, evidence); !all["d-5"].DeadLetters[0].Dismissed || all["d-6"].DeadLetters[0].Dismissed || !all["d-4"].Redrives[0].ByLedger || len(all["d-5"].Redrives)+len(all["d-6"].Redrives) > 0 {
			b.Errorf("%+v", all)
		}
		for _, private := range []string{"Jane", "that is why"} {
			if strings.Contains(evidence, private) {
				b.Errorf("the evidence has %q", private)
			}
		}

		// Once more: nothing else differs, and the act of the first is no part of it.
		time.Sleep(time.Hour)
		again, _ := made(b, options(b, "spring"))
		if a, z := whoAndWhen.ReplaceAllString(evidence, ""), whoAndWhen.ReplaceAllString(again, ""); a != z || evidence == again {
			b.Errorf("made again:\n%s\nbefore:\n%s", z, a)
		}
		if _, err := prove.Gather(b.Context(), options(b, "redrive-1")); err == nil || !strings.Contains(err.Error(), "redrive-1 is a redrive") {
			b.Errorf("of a redrive: %v", err)
		}
		acts := b.All("audit")
		last, err := ledger.DecodeAct(acts[len(acts)-1].Value)
		if err != nil || last.Command != "prove" || last.Key != "verdict/batch/spring" || last.Details["decisions"] != "8" || last.Details["file"] != "spring.jsonl" {
			b.Errorf("%+v, %v", last, err)
		}
	})
}

// The counts are those of follow, for a batch that nobody tells lies about.
func TestEvidenceAgreesWithFollow(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		for i := range 30 {
			b.Put(bulktest.InBatch(bulktest.BackfillTopic, "b", i+1, 35))
		}
		b.Put(bulktest.InBatch(bulktest.BackfillTopic, "b", 30, 35), bulktest.Named(bulktest.LiveTopic, "b", 99))
		for i, rec := range b.All(bulktest.BackfillTopic) {
			switch i % 3 {
			case 0:
				b.Settle(rec, decision.Completed, "")
			case 1:
				b.Settle(rec, "", decision.Conflict)
			}
		}
		gone := bulktest.InBatch(bulktest.BackfillTopic, "b", 32, 35)
		gone.Offset = 7777
		b.Settle(gone, "", decision.Expired)
		evidence, _ := made(b, options(b, "b"))
		c := mustCheck(b, evidence)
		sum, err := follow.Follow(b.Context(), follow.Options{
			Connection: b.Conn, BatchID: "b", Decisions: []string{bulktest.LiveTopic, bulktest.BackfillTopic}, Results: bulktest.ResultsTopic, DeadLetters: bulktest.LettersTopic, Once: true,
		})
		if err != nil {
			b.Fatal(err)
		}
		n := c.Counts
		if n.Decisions != sum.Submitted+sum.Repeated || n.Repeated != 1 || sum.Repeated != 1 || n.Gone != 1 || n.Reasons["expired"] != 1 || n.NotFound != 2 || sum.NotFound != 3 {
			b.Errorf("evidence %+v, follow %+v", n, sum)
		}
		if c.Manifest.Members != prove.ByNames || c.Manifest.Ledger != nil || c.Counts.Commands != 0 {
			b.Errorf("%+v", c.Manifest)
		}
		if d := decisions(b, evidence)["gone-7777"]; d.Line != 32 || d.Record != nil {
			b.Errorf("gone: %+v", d)
		}
		if _, err := prove.Gather(b.Context(), options(b, "c")); err == nil || !strings.Contains(err.Error(), "other batches") {
			b.Errorf("a batch that is none: %v", err)
		}
	})
}

// What waited for approval is evidence where it was moved to.
func TestEvidenceOfAnApprovedBatch(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		b.Put(row("spring", "r1", 1, 3), row("spring", "r1", 2, 3), row("spring", "r1", 3, 3))
		var moved []decision.Record
		ends := make(map[int]int64)
		for _, rec := range b.All(bulktest.BackfillTopic) {
			if !bytes.Contains(rec.Value, []byte("d-3")) {
				ends[rec.Partition] = rec.Offset + 1
				rec.Topic, rec.Partition = bulktest.LiveTopic, broker.ByKey
				moved = append(moved, rec)
			}
		}
		if third := find(b, bulktest.BackfillTopic, "d-3", 0); ends[third.Partition] > third.Offset {
			b.Fatal("the third decision is in the way; give it another profile")
		}
		mustWrite(b, by(b, "approve", "r2"), ledger.BatchKey("spring"), store.Change{Rows: moved, Entries: []store.KeyedEntry{{Key: ledger.BatchKey("spring"), Entry: ledger.Entry{Batch: &ledger.Batch{
			Topic: bulktest.BackfillTopic, Size: 3, Runs: []string{"r1"}, Began: time.Now(), Begin: map[int]int64{0: 0, 1: 0, 2: 0}, Approval: &ledger.Approval{To: bulktest.LiveTopic, Begin: map[int]int64{}, Moved: ends},
		}}}}})
		b.Settle(find(b, bulktest.LiveTopic, "d-1", 0), decision.Completed, "")
		evidence, _ := made(b, options(b, "spring"))
		mustCheck(b, evidence)
		wantOutcomes(b, evidence, map[string]string{"d-1": "completed", "d-2": "unsettled", "d-3": "unsettled"})
		if at := decisions(b, evidence)["d-1"].Origin.Topic; at != bulktest.LiveTopic {
			b.Errorf("d-1 is in %s", at)
		}
	})
}

// The rows of a batch may be in the topic in any order.
func TestEvidenceIsSortedByLine(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		const n = 500
		var records []decision.Record
		for i := range n {
			records = append(records, bulktest.InBatch(bulktest.BackfillTopic, "b", (i*77)%n+1, n))
		}
		b.Put(records...)
		evidence, _ := made(b, options(b, "b"))
		if c := mustCheck(b, evidence); c.Counts.Decisions != n || c.Counts.Unsettled != n || c.Counts.Repeated != 0 {
			b.Errorf("%+v", c.Counts)
		}
	})
}

func TestStoppedEvidenceIsAnError(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		submitted(b, "spring", "r1", 3)
		ctx, cancel := context.WithCancel(b.Context())
		e, err := prove.Gather(ctx, options(b, "spring"))
		if err != nil {
			b.Fatal(err)
		}
		defer e.Close()
		cancel()
		if _, err := e.Write(ctx, new(bytes.Buffer), nil); err == nil {
			b.Error("it was written after the end of its context")
		}
		if _, err := prove.Gather(ctx, options(b, "spring")); err == nil {
			b.Error("it was gathered after the end of its context")
		}
	})
}

// Whoever may write to the control topic can't make evidence of an older entry.
func TestLostEntryIsAnError(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		submitted(b, "spring", "r1", 1)
		o := options(b, "spring")
		o.Ledger.Trusted = ledger.Trusted{"ops": {signKey.Public().(ed25519.PublicKey)}}
		signed := by(b, "submit", "r1")
		signed.Sign, signed.Trusted, signed.Control = signKey, o.Ledger.Trusted, "signed"
		mustWrite(b, signed, ledger.BatchKey("spring"), store.Change{
			Entries: []store.KeyedEntry{{Key: ledger.BatchKey("spring"), Entry: ledger.Entry{Batch: &ledger.Batch{Topic: bulktest.BackfillTopic, Runs: []string{"r1"}}}}},
			Acts:    []ledger.Act{act(ledger.BatchKey("spring"))},
		})
		if _, err := prove.Gather(b.Context(), o); err == nil || !strings.Contains(err.Error(), "the ledger lost the latest signed entry of batch spring") {
			b.Error(err)
		}
		o.Ledger.Control = "signed"
		evidence, _ := made(b, o)
		mustCheck(b, evidence)
	})
}
