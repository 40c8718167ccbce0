package prove

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"verdict/internal/decision"
	"verdict/internal/ledger"
)

func TestCheckAcceptsEvidence(t *testing.T) {
	for _, key := range []ed25519.PrivateKey{nil, testKey(1)} {
		c, err := Check(strings.NewReader(sample(t, key)))
		if err != nil {
			t.Fatal(err)
		}
		n := c.Counts
		if n.Decisions != 6 || n.Outcomes["completed"] != 2 || n.Outcomes["already_complete"] != 1 || n.Unsettled != 3 || n.Repeated != 2 || n.Redriven != 1 || n.Commands != 2 ||
			c.Manifest.Batch != "spring-review" || c.Lines != 10 || (key == nil) != (c.Key == nil) {
			t.Errorf("%+v", c)
		}
	}
}

func TestSignedByNamesWhoseKeyItIs(t *testing.T) {
	c, err := Check(strings.NewReader(sample(t, testKey(1))))
	if err != nil {
		t.Fatal(err)
	}
	line := func(actor string, n byte) string {
		return actor + " " + base64.StdEncoding.EncodeToString(testKey(n).Public().(ed25519.PublicKey)) + "\n"
	}
	for text, want := range map[string][]string{
		line("ops", 1) + line("other", 2): {"ops"},
		line("b", 1) + line("a", 1):       {"a", "b"},
		line("other", 2):                  nil,
	} {
		trusted, err := ledger.ParseTrusted(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.SignedBy(trusted); !slices.Equal(got, want) {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// No byte can be another one, be left out or be added.
func TestEveryChangedByteIsFound(t *testing.T) {
	lines, _ := sampleLines()
	lines = []any{lines[0], lines[2], lines[7]}
	lines[0].(*Manifest).Unsettled = 0
	counts := Counts{Decisions: 1, Outcomes: map[string]int64{"completed": 1}, Commands: 1}
	for _, key := range []ed25519.PrivateKey{nil, testKey(1)} {
		good := written(t, lines, End{Counts: counts}, key)
		if _, err := Check(strings.NewReader(good)); err != nil {
			t.Fatal(err)
		}
		for i := range len(good) {
			for _, changed := range []string{
				good[:i] + string(rune(good[i]^1)) + good[i+1:], good[:i] + string(rune(good[i]^32)) + good[i+1:], good[:i] + good[i+1:], good[:i] + " " + good[i:],
			} {
				if _, err := Check(strings.NewReader(changed)); err == nil {
					t.Fatalf("a change of byte %d (%q) is not found: %q", i, good[i], changed[max(0, i-20):min(len(changed), i+20)])
				}
			}
			if _, err := Check(strings.NewReader(good[:i])); err == nil {
				t.Fatalf("it may end after %d bytes", i)
			}
		}
	}
}

// No line can be left out, be repeated or be elsewhere.
func TestEveryMovedLineIsFound(t *testing.T) {
	good := strings.SplitAfter(sample(t, testKey(1)), "\n")
	good = good[:len(good)-1]
	lines, counts := sampleLines()
	lines[0].(*Manifest).Batch = "other"
	other := strings.SplitAfter(written(t, lines, End{Counts: counts}, testKey(1)), "\n")
	rapid.Check(t, func(t *rapid.T) {
		lines := slices.Clone(good)
		at := func(name string) int { return rapid.IntRange(0, len(lines)-1).Draw(t, name) }
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			switch rapid.SampledFrom([]string{"remove", "swap", "repeat", "insert"}).Draw(t, "change") {
			case "remove":
				if i := at("line"); len(lines) > 1 {
					lines = slices.Delete(lines, i, i+1)
				}
			case "swap":
				i, j := at("line"), at("other line")
				lines[i], lines[j] = lines[j], lines[i]
			case "repeat":
				i := at("line")
				lines = slices.Insert(lines, at("before"), lines[i])
			case "insert":
				lines = slices.Insert(lines, at("before"), other[rapid.IntRange(0, len(good)-1).Draw(t, "foreign")])
			}
		}
		_, err := Check(strings.NewReader(strings.Join(lines, "")))
		if same := slices.Equal(lines, good); same != (err == nil) {
			t.Errorf("%v with the lines unchanged: %v", err, same)
		}
	})
}

// Whoever has the key can write what he likes, but not what contradicts itself.
func TestCheckFindsContradictions(t *testing.T) {
	key := testKey(1)
	for name, c := range map[string]struct {
		change func(lines []any, end *End) []any
		line   int64
		why    string
	}{
		"a decision is left out":                 {func(l []any, _ *End) []any { return slices.Delete(l, 1, 2) }, 9, "counts 6 as decisions, and the lines add up to 5"},
		"decisions are swapped":                  {func(l []any, _ *End) []any { l[1], l[2] = l[2], l[1]; return l }, 3, "should come before"},
		"a decision is repeated":                 {func(l []any, _ *End) []any { return slices.Insert(l, 1, l[1]) }, 3, "should come before"},
		"commands are swapped":                   {func(l []any, _ *End) []any { l[7], l[8] = l[8], l[7]; return l }, 9, "in the order of the audit topic"},
		"a command comes early":                  {func(l []any, _ *End) []any { return slices.Insert(l, 1, l[7]) }, 3, "a decision can't come here"},
		"two manifests":                          {func(l []any, _ *End) []any { return slices.Insert(l, 1, l[0]) }, 2, "a manifest can't come here"},
		"no manifest":                            {func(l []any, _ *End) []any { return l[1:] }, 1, ""},
		"another format":                         {func(l []any, _ *End) []any { l[0].(*Manifest).Format = 2; return l }, 1, "format 2"},
		"too few unsettled":                      {func(l []any, _ *End) []any { l[0].(*Manifest).Unsettled = 1; return l }, 10, "says that 1 decisions are unsettled"},
		"another outcome":                        {func(l []any, _ *End) []any { l[1].(*Decision).Outcome = "completed"; return l }, 2, "says that it ended as completed"},
		"a redrive that counts without a letter": {func(l []any, _ *End) []any { l[3].(*Decision).DeadLetters = nil; return l }, 4, "say unsettled"},
		"another topic":                          {func(l []any, _ *End) []any { l[1].(*Decision).Origin.Topic = "elsewhere"; return l }, 2, "where its record was"},
		"another reason":                         {func(l []any, e *End) []any { e.Counts.Reasons = map[string]int64{"rejected": 1}; return l }, 10, "dead_letter_reasons"},
		"another number":                         {func(l []any, e *End) []any { e.Counts.Commands = 1; return l }, 10, "counts 1 as commands"},
		"two ends":                               {func(l []any, e *End) []any { return append(l, End{Type: typeEnd, Counts: e.Counts, Lines: 10}) }, 11, "after the last line"},
		"an unknown type":                        {func(l []any, _ *End) []any { return slices.Insert(l, 1, any(map[string]int{"x": 1})) }, 2, "no type that is known"},
	} {
		lines, counts := sampleLines()
		end := End{Counts: counts}
		lines = c.change(lines, &end)
		t.Run(name, func(t *testing.T) { wantWrong(t, written(t, lines, end, key), c.line, c.why) })
	}
}

func TestSignatureIsCheckedByItsKey(t *testing.T) {
	good, other := sample(t, testKey(1)), sample(t, testKey(2))
	cut := func(s, open string, size int) (before, value, after string) {
		at := strings.LastIndex(s, open) + len(open)
		return s[:at], s[at : at+size], s[at+size:]
	}
	before, _, after := cut(good, signatureOpen, signatureSize)
	_, foreign, _ := cut(other, signatureOpen, signatureSize)
	wantWrong(t, before+foreign+after, 10, "not by its public_key")
	_, signature, _ := cut(good, signatureOpen, signatureSize)
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" {
		if other := signature[:signatureSize-3] + string(c) + "=="; other != signature { // two spellings of the same bytes
			wantWrong(t, before+other+after, 10, "")
		}
	}
	// An unsigned file with a signature, and a signed one without.
	lines, counts := sampleLines()
	wantWrong(t, written(t, lines, End{Counts: counts, PublicKey: "AAAA"}, nil), 10, "not signed, and has")
	wantWrong(t, written(t, lines, End{Counts: counts, Signed: true, PublicKey: base64.StdEncoding.EncodeToString(testKey(1).Public().(ed25519.PublicKey))}, nil), 10, "should be signed")
	wantWrong(t, written(t, lines, End{Counts: counts, Signed: true, PublicKey: "AAAA"}, nil), 10, "not an Ed25519 key")
}

// repeated reads as its text over and over, without an end.
type repeated string

func (r repeated) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		n += copy(p[n:], r)
	}
	return n, nil
}

func TestCheckIsBounded(t *testing.T) {
	for name, file := range map[string]io.Reader{"no line end": repeated("x"), "empty lines": repeated("\n"), "one bracket": repeated("[")} {
		if _, err := Check(file); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	lines, counts := sampleLines()
	d := lines[1].(*Decision)
	for i := range int64(maxParts + 1) {
		d.Results = append(d.Results, Result{At: decision.Position{Topic: "r", Offset: i}})
	}
	wantWrong(t, written(t, lines, End{Counts: counts}, nil), 2, "and may have 200")
	lines, counts = sampleLines()
	lines[1].(*Decision).Record.Reason = strings.Repeat("x", maxDecisionLine)
	wantWrong(t, written(t, lines, End{Counts: counts}, nil), 2, "at most")
}

func TestRedriveCountsOnlyIfItIsConfirmed(t *testing.T) {
	place := func(topic string, offset int64) decision.Position {
		return decision.Position{Topic: topic, Offset: offset}
	}
	letter := func(at int64, of decision.Position) DeadLetter {
		return DeadLetter{At: place("l", at), Of: of, Reason: "rejected", ValueSHA256: "value"}
	}
	redrive := func(at, from int64, number int) Redrive {
		p := place("l", from)
		return Redrive{Place: place("t", at), From: &p, Number: number, Copy: Record{ValueSHA256: "value"}}
	}
	result := func(of int64) Result { return Result{Of: place("t", of), Outcome: "completed"} }
	edited := redrive(8, 1, 1)
	edited.Copy.ValueSHA256 = "another"
	byLedger := redrive(8, 99, 1)
	byLedger.ByLedger = true
	for name, c := range map[string]struct {
		d       Decision
		members Members
		want    string
	}{
		"first record":                {Decision{Results: []Result{result(7)}}, ByRuns, "completed "},
		"result beats letter":         {Decision{Results: []Result{result(7)}, DeadLetters: []DeadLetter{letter(1, place("t", 7))}}, ByRuns, "completed "},
		"letter":                      {Decision{DeadLetters: []DeadLetter{letter(1, place("t", 7))}}, ByRuns, "dead_lettered rejected"},
		"redriven, not settled":       {Decision{DeadLetters: []DeadLetter{letter(1, place("t", 7))}, Redrives: []Redrive{redrive(8, 1, 1)}}, ByRuns, "unsettled "},
		"redriven, settled":           {Decision{DeadLetters: []DeadLetter{letter(1, place("t", 7))}, Redrives: []Redrive{redrive(8, 1, 1)}, Results: []Result{result(8)}}, ByRuns, "completed "},
		"redriven twice":              {Decision{DeadLetters: []DeadLetter{letter(1, place("t", 7)), letter(2, place("t", 8))}, Redrives: []Redrive{redrive(9, 2, 2), redrive(8, 1, 1)}}, ByRuns, "unsettled "},
		"forged: no such letter":      {Decision{DeadLetters: []DeadLetter{letter(1, place("t", 7))}, Redrives: []Redrive{redrive(8, 2, 1)}, Results: []Result{result(8)}}, ByRuns, "dead_lettered rejected"},
		"forged: another's letter":    {Decision{DeadLetters: []DeadLetter{letter(1, place("t", 55))}, Redrives: []Redrive{redrive(8, 1, 1)}, Results: []Result{result(8)}}, ByRuns, "unsettled "},
		"forged: another value":       {Decision{DeadLetters: []DeadLetter{letter(1, place("t", 7))}, Redrives: []Redrive{edited}, Results: []Result{result(8)}}, ByRuns, "dead_lettered rejected"},
		"edited in the first edition": {Decision{DeadLetters: []DeadLetter{letter(1, place("t", 7))}, Redrives: []Redrive{edited}, Results: []Result{result(8)}}, ByNames, "completed "},
		"by the ledger":               {Decision{DeadLetters: []DeadLetter{letter(1, place("t", 7))}, Redrives: []Redrive{byLedger}, Results: []Result{result(8)}}, ByRuns, "completed "},
		"a result that says nothing":  {Decision{Results: []Result{{Of: place("t", 7), Outcome: "dead_lettered"}}}, ByRuns, "other "},
	} {
		c.d.Origin = place("t", 7)
		c.d.settle(c.members)
		if got := c.d.Outcome + " " + c.d.Reason; got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// Another version's outcomes are counted as they stand, but not without a bound.
func TestCountsTellOutcomesApart(t *testing.T) {
	c := newCounter()
	for i := range 10 * maxWords {
		c.add(&Decision{Outcome: fmt.Sprint("outcome_", i/2), Reason: strings.Repeat("x", i)})
	}
	if c.Outcomes["outcome_7"] != 2 || c.Outcomes[otherName] != 8*maxWords || len(c.Outcomes) != maxWords+1 || len(c.Reasons) != maxWord+1 {
		t.Errorf("%d outcomes, %d reasons, %v", len(c.Outcomes), len(c.Reasons), c.Outcomes)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(sample(f, testKey(1)))
	f.Add(sample(f, nil))
	lines, counts := sampleLines()
	f.Add(written(f, lines[:1], End{Counts: Counts{}}, nil))
	f.Add(written(f, lines[:2], End{Counts: counts}, nil))
	f.Add("{\"type\":\"end\",\n")
	f.Fuzz(func(t *testing.T, evidence string) {
		c, err := Check(strings.NewReader(evidence))
		if err != nil {
			return
		}
		total := c.Counts.Unsettled
		for n := range maps.Values(c.Counts.Outcomes) {
			total += n
		}
		if total != c.Counts.Decisions || c.Lines != int64(strings.Count(evidence, "\n")) || c.Lines != c.Counts.Decisions+c.Counts.Commands+2 {
			t.Errorf("accepted %+v", fmt.Sprint(c))
		}
	})
}
