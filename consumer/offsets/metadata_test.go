package offsets

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"
	"testing"

	"verdict/internal/decision"

	"pgregory.net/rapid"
)

// Commits written by earlier versions must stay readable, byte for byte.
func TestMetadataFormatIsFixed(t *testing.T) {
	every := func(offsets int, settled func(i int) bool) *Tracker {
		tr := NewTracker(1000)
		for i := range offsets {
			tr.Track(1000 + int64(i))
			if settled(i) {
				tr.Settle(1000 + int64(i))
			}
		}
		return tr
	}
	none := func(int) bool { return false }
	odd := func(i int) bool { return i%2 == 1 }
	even := func(i int) bool { return i%2 == 0 && i > 0 }
	fromTen := func(i int) bool { return i >= 10 }
	progress := map[int64]decision.Progress{1000: {Attempts: 2, MaybeApplied: true}, 1003: {Attempts: 300}}
	for name, c := range map[string]struct {
		tracker *Tracker
		open    map[int64]decision.Progress
		size    int
		want    string
	}{
		"bitmap":                {every(12, odd), nil, 4096, "v1:AKoK"},
		"runs":                  {every(300, fromTen), nil, 4096, "v1:AQqiAg=="},
		"runs, by a byte":       {every(17, fromTen), nil, 4096, "v1:AQoH"},
		"bitmap cut short":      {every(300, func(i int) bool { return i%3 == 1 }), nil, 24, "v1:AJIkSZIkSZIkSZIkSZIk"},
		"runs cut short":        {every(3000, func(i int) bool { return i%600 > 500 }), nil, 24, "v1:AfUDY/UDY/UDY/UDYw=="},
		"attempts":              {every(4, none), progress, 4096, "v1:AgAABQPYBA=="},
		"attempts, to the byte": {every(4, none), map[int64]decision.Progress{1000: {Attempts: 2, MaybeApplied: true}, 1001: {Attempts: 1}, 1003: {Attempts: 300}}, 15, "v1:AgAABQECA9gE"},
		"bitmap with attempts":  {every(12, even), progress, 4096, "v1:AgJUBQAFA9gE"},
		"runs with attempts":    {every(300, fromTen), progress, 4096, "v1:AwMKogIABQPYBA=="},
		"nothing beyond commit": {every(3, func(int) bool { return true }), nil, 4096, ""},
	} {
		if got := Encode(c.tracker, c.open, c.size); got != c.want {
			t.Errorf("%s: encoded as %q, want %q", name, got, c.want)
		}
		restored, open, err := Restore(c.tracker.Base(), c.want, c.tracker.Base())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again := Encode(restored, open, c.size)
		if again != c.want {
			t.Errorf("%s: encoded again as %q, want %q", name, again, c.want)
		}
		if len(open) != len(c.open) || len(open) > 0 && !maps.Equal(open, c.open) {
			t.Errorf("%s: progress %v, want %v", name, open, c.open)
		}
	}
}

func TestMetadataRestoresSettledAndProgress(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		span := rapid.IntRange(1, 3000).Draw(t, "span")
		base := rapid.Int64Range(0, 1<<40).Draw(t, "base")
		tr := NewTracker(base)
		open := make(map[int64]decision.Progress)
		density := rapid.IntRange(1, 20).Draw(t, "density")
		for offset := base; offset < base+int64(span); offset++ {
			tr.Track(offset)
		}
		for i := range span {
			if rapid.IntRange(0, density).Draw(t, "settled") == 0 {
				tr.Settle(base + int64(i))
			} else if rapid.IntRange(0, 50).Draw(t, "tried") == 0 {
				open[base+int64(i)] = decision.Progress{Attempts: rapid.IntRange(0, 9).Draw(t, "attempts"), MaybeApplied: rapid.Bool().Draw(t, "maybe applied")}
			}
		}
		for offset := range open {
			if tr.Settled(offset) {
				delete(open, offset)
			}
		}
		metadata := Encode(tr, open, DefaultMetadataSize)
		if len(metadata) > DefaultMetadataSize {
			t.Fatalf("%d bytes, the limit is %d", len(metadata), DefaultMetadataSize)
		}
		got, gotOpen, err := Restore(tr.Base(), metadata, tr.Base())
		if err != nil {
			t.Fatal(err)
		}
		for offset := tr.Base() - 1; offset < base+int64(span)+2; offset++ {
			if got.Settled(offset) != tr.Settled(offset) {
				t.Fatalf("Settled(%d) = %v, want %v", offset, got.Settled(offset), tr.Settled(offset))
			}
		}
		if got.Base() != tr.Base() {
			t.Fatalf("base %d, want %d", got.Base(), tr.Base())
		}
		for offset, p := range gotOpen {
			if open[offset] != p {
				t.Fatalf("progress of %d: %v, want %v", offset, p, open[offset])
			}
		}
		if len(gotOpen) != len(open) && len(metadata) < DefaultMetadataSize-40 {
			t.Fatalf("%d of %d open offsets were carried in %d bytes", len(gotOpen), len(open), len(metadata))
		}
	})
}

func TestMetadataCutShortClaimsNothingFalse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tr := NewTracker(100)
		open := make(map[int64]decision.Progress)
		tr.Track(100)
		from := rapid.SampledFrom([]int64{101, 20_000}).Draw(t, "from") // what lies between counts as settled
		end := from + rapid.Int64Range(0, 3000).Draw(t, "span")
		for offset := from; offset < end; offset++ {
			tr.Track(offset)
			if rapid.IntRange(0, 2).Draw(t, "settled") > 0 {
				tr.Settle(offset)
			} else {
				open[offset] = decision.Progress{Attempts: maxCarriedAttempts, MaybeApplied: true}
			}
		}
		size := rapid.IntRange(0, 700).Draw(t, "size")
		metadata := Encode(tr, open, size)
		if len(metadata) > size {
			t.Fatalf("%d bytes, the limit is %d", len(metadata), size)
		}
		got, gotOpen, err := Restore(100, metadata, 100)
		if err != nil {
			t.Fatal(err)
		}
		for offset, p := range gotOpen {
			if p != open[offset] {
				t.Fatalf("progress of %d: %v, want %v", offset, p, open[offset])
			}
		}
		if len(gotOpen) < len(open) && size-len(metadata) > 12 { // six bytes, in base64
			t.Fatalf("%d of %d open offsets are carried in %d of %d bytes", len(gotOpen), len(open), len(metadata), size)
		}
		for offset := int64(100); offset < end+100; offset++ {
			if got.Settled(offset) && !tr.Settled(offset) {
				t.Fatalf("offset %d counts as settled, and is not", offset)
			}
		}
	})
}

// TestDecodeRefusesWhatIsNotItsOwn, just beyond what it may describe, and reads what is
// just within.
func TestDecodeRefusesWhatIsNotItsOwn(t *testing.T) {
	const huge = math.MaxUint64
	uvarints := func(kind byte, n ...uint64) []byte {
		b := []byte{kind}
		for _, n := range n {
			b = binary.AppendUvarint(b, n)
		}
		return b
	}
	runs := func(n ...uint64) []byte { return uvarints(kindRuns, n...) }
	attempts := func(n ...uint64) []byte { return uvarints(kindAttempts, append([]uint64{0}, n...)...) }
	for name, c := range map[string]struct {
		payload []byte
		base    int64
		settled []Run // nil and no open: refused
		open    map[int64]decision.Progress
	}{
		"nothing":                    {},
		"another kind":               {payload: []byte{4, 2}},
		"base below zero":            {payload: []byte{0, 2}, base: -1},
		"base near the end":          {payload: []byte{0, 2}, base: math.MaxInt64 - MaxSpan + 1},
		"last base":                  {payload: []byte{0, 2}, base: math.MaxInt64 - MaxSpan, settled: []Run{{math.MaxInt64 - MaxSpan + 1, math.MaxInt64 - MaxSpan + 2}}},
		"bitmap too long":            {payload: append(make([]byte, 1+MaxSpan/8), 1)},
		"longest bitmap":             {payload: append(make([]byte, MaxSpan/8), 128), settled: []Run{{MaxSpan - 1, MaxSpan}}},
		"run cut short":              {payload: []byte{kindRuns, 1, 128}},
		"run too long":               {payload: runs(0, MaxSpan+1)},
		"longest run":                {payload: runs(0, MaxSpan), settled: []Run{{0, MaxSpan}}},
		"runs too long":              {payload: runs(2, MaxSpan-1)},
		"longest runs":               {payload: runs(1, MaxSpan-1), settled: []Run{{1, MaxSpan}}},
		"runs that overflow":         {payload: runs(1, huge, 1)},
		"empty run":                  {payload: runs(1, 0, 1, 2), settled: []Run{{2, 4}}},
		"length of set cut short":    {payload: []byte{kindAttempts, 128}},
		"length of set missing":      {payload: []byte{kindAttempts}},
		"length beyond the end":      {payload: []byte{kindAttempts, 2, 2}},
		"set to the end":             {payload: []byte{kindAttempts, 1, 2}, settled: []Run{{1, 2}}},
		"length that overflows":      {payload: uvarints(kindAttempts, huge, 2)},
		"offset cut short":           {payload: append(attempts(), 128)},
		"offset too far":             {payload: attempts(MaxSpan+1, 2)},
		"last offset":                {payload: attempts(MaxSpan, 2), open: map[int64]decision.Progress{MaxSpan: {Attempts: 1}}},
		"attempts that are missing":  {payload: attempts(1)},
		"attempts cut short":         {payload: append(attempts(1), 128)},
		"too many attempts":          {payload: attempts(1, 2*maxCarriedAttempts+2)},
		"as many as are believed":    {payload: attempts(1, 2*maxCarriedAttempts+1), open: map[int64]decision.Progress{1: {Attempts: maxCarriedAttempts, MaybeApplied: true}}},
		"progress of several offset": {payload: attempts(1, 2, 3, 5), open: map[int64]decision.Progress{1: {Attempts: 1}, 3: {Attempts: 2, MaybeApplied: true}}},
	} {
		settled, open, err := Decode(metadataPrefix+base64.StdEncoding.EncodeToString(c.payload), c.base)
		if refused := c.settled == nil && c.open == nil; refused != errors.Is(err, ErrMetadata) || !slices.Equal(settled, c.settled) || !maps.Equal(open, c.open) {
			t.Errorf("%s: settled %v, open %v, %v", name, settled, open, err)
		}
	}
}

// What earlier versions cut short in a form that would not be chosen any more.
func TestMetadataOfEarlierVersionsIsRead(t *testing.T) {
	settled, _, err := Decode("v1:AQEBAgE=", 1000)
	if want := []Run{{1001, 1002}, {1004, 1005}}; err != nil || !slices.Equal(settled, want) {
		t.Errorf("settled %v, %v, want %v", settled, err, want)
	}
}

func TestMetadataCarriesAllThatFitsInOneForm(t *testing.T) {
	for _, size := range []int{512, DefaultMetadataSize} {
		span := SpanThatFits(size)
		for name, settled := range map[string]func(i int64) bool{
			"every other": func(i int64) bool { return i%2 == 1 }, // a run each
			"long runs":   func(i int64) bool { return i%(span/20) > 0 },
			"one run":     func(i int64) bool { return i > 0 },
		} {
			tr := NewTracker(1000)
			for i := range span {
				tr.Track(1000 + i)
				if settled(i) {
					tr.Settle(1000 + i)
				}
			}
			checkRestores(t, tr, size)
			if t.Failed() {
				t.Fatalf("size %d, %s", size, name)
			}
		}
	}
}

// testingT is what testing.T and rapid.T have in common.
type testingT interface {
	Helper()
	Fatalf(format string, args ...any)
}

// checkRestores checks that the metadata of a commit carries all that is settled.
func checkRestores(t testingT, tr *Tracker, size int) *Tracker {
	t.Helper()
	metadata := Encode(tr, nil, size)
	if len(metadata) > size {
		t.Fatalf("%d bytes of metadata, the limit is %d", len(metadata), size)
	}
	got, _, err := Restore(tr.Base(), metadata, tr.Base())
	if err != nil {
		t.Fatalf("restore: %v", err)
	}
	if got.Base() != tr.Base() || !slices.Equal(got.runs, tr.runs) || got.settled != tr.settled || got.width != tr.width {
		t.Fatalf("restored base %d, %d offsets settled in %d runs, %d bytes; want %d, %d, %d, %d",
			got.Base(), got.settled, len(got.runs), got.width, tr.Base(), tr.settled, len(tr.runs), tr.width)
	}
	return got
}

func TestRestoreKeepsSettledPastDeletedRecords(t *testing.T) {
	tr := NewTracker(0)
	for offset := range int64(900) {
		tr.Track(offset)
		if offset >= 500 {
			tr.Settle(offset)
		}
	}
	got, _, err := Restore(0, Encode(tr, nil, DefaultMetadataSize), 400)
	if err != nil {
		t.Fatal(err)
	}
	if got.Base() != 400 || got.Settled(499) || !got.Settled(500) || !got.Settled(899) || got.Settled(900) {
		t.Errorf("base %d, top %d", got.Base(), got.Top())
	}
}
