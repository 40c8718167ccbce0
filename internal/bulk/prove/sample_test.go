package prove

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"verdict/internal/decision"
	"verdict/internal/ledger"
)

// testKey returns a key, the same for the same number.
func testKey(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

// sampleLines returns the lines of evidence of six decisions, without its end, and the
// counts of the end.
func sampleLines() (lines []any, counts Counts) {
	at := decision.Time{Time: time.Date(2026, 11, 12, 10, 0, 0, 0, time.UTC)}
	place := func(topic string, partition int, offset int64) decision.Position {
		return decision.Position{Topic: topic, Partition: partition, Offset: offset}
	}
	m := Manifest{
		Type: typeManifest, Format: format, Batch: "spring-review", Group: "verdict", Cluster: "c", Members: ByNames,
		Topics: Topics{Decisions: []string{"live", "backfill"}, Results: "results", DeadLetters: "letters", Control: "control", Audit: "audit"},
		Made:   Made{At: at, Author: ledger.Author{Actor: "ops", Host: "backoffice", Command: Act}, Version: "v1"},
		ReadTo: map[string]map[int]int64{"backfill": {0: 5}}, Unsettled: 3,
	}
	counter := newCounter()
	lines = []any{&m}
	for i := range int64(6) {
		line := []int64{1, 2, 2, 3, 3, 4}[i]
		d := Decision{Type: typeDecision, Line: line, Origin: place("backfill", int(i%3), i), Record: &Record{At: at, ID: fmt.Sprintf("d-%d", i), ValueSHA256: sum(nil)}}
		if i%3 == 1 {
			d.Results = []Result{{At: place("results", 0, i), Of: d.Origin, Outcome: string(decision.Completed), Attempts: 1}}
		}
		if i == 2 {
			letter, copied := place("letters", 0, 0), place("backfill", 2, 100)
			d.DeadLetters = []DeadLetter{{At: letter, Of: d.Origin, Reason: string(decision.Rejected)}}
			d.Redrives = []Redrive{{Place: copied, From: &letter, Number: 1}}
			d.Results = []Result{{At: place("results", 0, 99), Of: copied, Outcome: string(decision.AlreadyComplete)}}
		}
		d.settle(m.Members)
		counter.add(&d)
		lines = append(lines, &d)
	}
	for i := range int64(2) {
		lines = append(lines, &Command{Type: typeCommand, Offset: i * 3, Key: "verdict/batch/spring-review", Author: ledger.Author{Actor: "ops", Why: "<because>"}})
		counter.Commands++
	}
	return lines, counter.Counts
}

// written returns lines as evidence with this end, signed by a key; nil: not signed.
func written(t testing.TB, lines []any, end End, key ed25519.PrivateKey) string {
	t.Helper()
	var b bytes.Buffer
	w := newLineWriter(&b)
	for _, l := range lines {
		if err := w.write(l, nil); err != nil {
			t.Fatal(err)
		}
	}
	end.Type, end.Lines = typeEnd, int64(len(lines)+1)
	if key != nil {
		end.Signed, end.PublicKey = true, base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	}
	if err := w.write(end, key); err != nil {
		t.Fatal(err)
	}
	if err := w.w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func sample(t testing.TB, key ed25519.PrivateKey) string {
	t.Helper()
	lines, counts := sampleLines()
	return written(t, lines, End{Counts: counts}, key)
}

// wantWrong checks that evidence is refused at a line, for a reason. 0: at any line.
func wantWrong(t *testing.T, evidence string, line int64, why string) {
	t.Helper()
	_, err := Check(strings.NewReader(evidence))
	wrong, ok := err.(*LineError)
	if !ok || line != 0 && wrong.Line != line || !strings.Contains(err.Error(), why) {
		t.Errorf("%v, want line %d: %s", err, line, why)
	}
}
