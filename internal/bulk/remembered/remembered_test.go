package remembered_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"verdict/internal/bulk/remembered"
	"verdict/internal/decision"
)

// some returns n rows that are drawn from a seed.
func some(seed uint64, n int) []remembered.Row {
	r := rand.New(rand.NewPCG(seed, 0))
	rows := make([]remembered.Row, n)
	for i := range rows {
		rows[i] = remembered.Row(r.Uint64())
	}
	return rows
}

// filters returns the filters of a batch with these rows, encoded and decoded.
func filters(t testing.TB, rows []remembered.Row) []*remembered.Filter {
	t.Helper()
	var all []*remembered.Filter
	b := remembered.NewBuilder(func(n int, f *remembered.Filter) error {
		if n != len(all) {
			t.Errorf("filter %d comes as number %d", len(all), n)
		}
		value := f.Encode()
		if len(value) > remembered.MaxEncoded {
			t.Errorf("%d rows take %d bytes", f.Rows(), len(value))
		}
		decoded, err := remembered.Decode(value)
		if err == nil {
			all = append(all, decoded)
		}
		return err
	})
	for _, r := range rows {
		if err := b.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	return all
}

// match asks for rows in filters.
func match(rows []remembered.Row, in []*remembered.Filter) remembered.Match {
	var a remembered.Asked
	for _, r := range rows {
		a.Add(r)
	}
	var m remembered.Match
	for _, f := range in {
		m = m.Add(a.In(f))
	}
	return m
}

func TestFilterKnowsItsRowsAndFewOthers(t *testing.T) {
	others := some(99, 100_000)
	for _, c := range []struct{ rows, filters, bytes int }{
		{1, 1, 100}, {2, 1, 100}, {3000, 1, 4500}, {1_000_000, 2, 1_150_000},
	} {
		rows := some(uint64(c.rows), c.rows)
		all := filters(t, rows)
		size := 0
		for _, f := range all {
			size += len(f.Encode())
		}
		t.Logf("%d rows: %d bytes, %.2f bits a row", c.rows, size, 8*float64(size)/float64(c.rows))
		if len(all) != c.filters || size > c.bytes {
			t.Errorf("%d rows: %d filters of %d bytes together", c.rows, len(all), size)
		}
		for i, r := range rows {
			if !all[i/remembered.MaxRows].Has(r) {
				t.Fatalf("%d rows: the filter does not know row %d", c.rows, i)
			}
		}
		for _, f := range all {
			n := 0
			for _, r := range others {
				if f.Has(r) {
					n++
				}
			}
			// A standard deviation is 20.
			if want := float64(len(others)) * remembered.Chance; math.Abs(float64(n)-want) > 150 {
				t.Errorf("%d rows: %d of %d other rows look as if they were known, want about %.0f", c.rows, n, len(others), want)
			}
		}
	}
}

// Some numbers of rows are hard for binary fuse filters: just below a step of their segments.
func TestFilterOfEverySizeIsMade(t *testing.T) {
	for n := 1; n < 200; n++ {
		filters(t, some(uint64(n), n))
	}
	for n := 11_400; n < 11_560; n += 5 {
		filters(t, some(uint64(n), n))
	}
}

func TestRepeatedRowsCountOnce(t *testing.T) {
	rows := some(1, 1000)
	all := filters(t, slices.Repeat(rows, 50))
	if len(all) != 1 || all[0].Rows() != 1000 {
		t.Errorf("%d filters, of %d rows", len(all), all[0].Rows())
	}
	if n := match(slices.Repeat(rows, 50), all).Likely(); n != 1000 {
		t.Errorf("%d of the 1000 rows", n)
	}
}

func TestMatchTellsRowsThatWereSentFromChance(t *testing.T) {
	big := some(1, 1_000_000)
	inBig := filters(t, big)
	small := some(2, 3000)
	inSmall := filters(t, small)
	for name, c := range map[string]struct {
		rows      []remembered.Row
		in        []*remembered.Filter
		sent      int64 // how many of them were sent
		suspected bool
	}{
		"all of a small file":         {small, inSmall, 3000, true},
		"2,981 of 3,000":              {append(small[:2981:2981], some(3, 19)...), inSmall, 2981, true},
		"none of a small file":        {some(4, 3000), inSmall, 0, false},
		"a few":                       {append(small[:50:50], some(5, 2950)...), inSmall, 50, true},
		"of a large batch":            {append(big[800_000:800_300:800_300], some(6, 2700)...), inBig, 300, true},
		"none of a large batch":       {some(7, 3000), inBig, 0, false},
		"a large file, as a sample":   {append(big[:400_000:400_000], some(8, 800_000)...), inBig, 400_000, true},
		"none of a large file":        {some(9, 1_200_000), inBig, 0, false},
		"one row":                     {small[:1], inSmall, 1, true},
		"one row of a large batch":    {big[:1], inBig, 1, true},
		"one row that was not sent":   {some(10, 1), inSmall, 0, false},
		"two rows that were not sent": {some(11, 2), inBig, 0, false},
		"no row":                      {nil, inSmall, 0, false},
	} {
		m := match(c.rows, c.in)
		// 6 standard deviations of what chance adds, and of a sample of every second.
		near := 6 * math.Sqrt(m.ByChance()+1)
		if len(c.rows) > remembered.MaxAsked {
			near = 2*near + 6*math.Sqrt(2*float64(c.sent))
		}
		if off := math.Abs(float64(m.Likely() - c.sent)); off > near || m.Suspected() != c.suspected {
			t.Errorf("%s: %d of %d rows, suspected %v (by chance %.1f, least %d), want %d", name, m.Likely(), len(c.rows), m.Suspected(), m.ByChance(), m.Least(), c.sent)
		}
		if c.sent >= m.Least() && c.sent > 0 != m.Suspected() {
			t.Errorf("%s: %d rows are at least %d, and suspected is %v", name, c.sent, m.Least(), m.Suspected())
		}
	}
}

// Files of any size that have no row of a batch are not suspected, though some rows match.
func TestUnrelatedFilesAreNotSuspected(t *testing.T) {
	all := filters(t, some(1, 10_000))
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 300 {
		n := 3 + r.IntN(2000)
		if m := match(some(uint64(1000+i), n), all); m.Suspected() {
			t.Errorf("a file of %d rows is suspected to have %d rows, by chance %.1f", n, m.Likely(), m.ByChance())
		}
	}
}

// What chance explains is what Poisson's distribution says, up to once in a million.
func TestLeastIsBeyondChance(t *testing.T) {
	one := filters(t, some(1, 100))
	for n := 3; n < 100_000; n *= 3 {
		for _, in := range [][]*remembered.Filter{one, slices.Repeat(one, 14)} {
			m := match(some(2, n), in)
			mean, tail := m.ByChance(), 0.0
			for k := float64(m.Least()); k < m.ByChance()+1000; k++ {
				factorial, _ := math.Lgamma(k + 1)
				tail += math.Exp(k*math.Log(mean) - mean - factorial)
			}
			if m.Least() == int64(n) {
				continue // all of its rows prove no more
			}
			if tail > 1e-6 || tail < 1e-9 && n > 10 {
				t.Errorf("%d rows, %d filters: chance reaches %d matches with probability %.2g", n, len(in), m.Least(), tail)
			}
		}
	}
}

func TestAskedHoldsABoundedSample(t *testing.T) {
	const n = 2_500_000
	var a remembered.Asked
	for _, r := range some(1, n) {
		a.Add(r)
		a.Add(r)
	}
	if got := a.Rows(); math.Abs(float64(got-n)) > n/100 {
		t.Errorf("%d rows, want about %d", got, n)
	}
}

func TestRowIsTaskAndState(t *testing.T) {
	a := decision.Decision{ID: "a", Task: decision.NewTask("P", "T"), State: decision.CompletedPass, BatchID: "one", Reason: "x"}
	b := decision.Decision{ID: "b", Task: decision.NewTask("p", "t"), State: decision.CompletedPass, BatchID: "two"}
	if remembered.RowOf(&a) != remembered.RowOf(&b) {
		t.Error("the same task and state are two rows")
	}
	for name, change := range map[string]func(d *decision.Decision){
		"state":   func(d *decision.Decision) { d.State = decision.CompletedFail },
		"profile": func(d *decision.Decision) { d.Task.ProfileID = "q" },
		"task":    func(d *decision.Decision) { d.Task.TaskID = "u" },
		"alias":   func(d *decision.Decision) { d.Task.TaskID, d.Key.Alias = "", "t" },
		"type":    func(d *decision.Decision) { d.Task.TaskID, d.Key.Type = "", "t" },
	} {
		c := b
		change(&c)
		if remembered.RowOf(&c) == remembered.RowOf(&b) {
			t.Errorf("another %s is the same row", name)
		}
	}
	// What is hashed must never change: it is compared with what was written years ago.
	d := decision.Decision{Task: decision.NewTask("3ceaaf30-8142-c8ea-91d9-3080f9b439fc", "70ff753d-3c88-ad8a-bd70-73d26c7e40ec"), State: decision.CompletedPass}
	if got := remembered.RowOf(&d); got != 0xe7e32fa03fdbac42 {
		t.Errorf("the row is %#x", uint64(got))
	}
}

func TestKeyIsReadBack(t *testing.T) {
	for _, k := range []remembered.Key{{"verdict", "spring", 0}, {"a/b c", "x/y/12", 17}, {"g", "ü", 2}} {
		if got, ok := remembered.ParseKey(k.String()); !ok || got != k {
			t.Errorf("%s: %+v, %v", k, got, ok)
		}
	}
	for _, s := range []string{"", "g", "g/b", "g/b/", "g/b/x", "g/b/-1", "g/b/01", "g//1", "%zz/b/1", "g/b/99999999999999999999", "/b/1"} {
		if k, ok := remembered.ParseKey(s); ok {
			t.Errorf("%q is taken for %+v", s, k)
		}
	}
}

func TestValuesThatAreNoFilterAreRefused(t *testing.T) {
	good := filters(t, some(1, 1000))[0].Encode()
	const rowsAt, countAt, lengthAt, dataAt = 15, 27, 31, 35
	with := func(value []byte, at int, n uint32) []byte {
		value = slices.Clone(value)
		binary.BigEndian.PutUint32(value[at:], n)
		return value
	}
	for name, value := range map[string][]byte{
		"empty":             nil,
		"head alone":        good[:rowsAt],
		"no fingerprints":   good[:dataAt],
		"cut":               good[:len(good)-1],
		"longer":            append(slices.Clone(good), 0),
		"another version":   append([]byte("verdict rows 2\n"), good[rowsAt:]...),
		"no rows":           with(good, rowsAt, 0),
		"too many rows":     with(good, rowsAt, remembered.MaxRows+1),
		"no segments":       with(with(good[:dataAt+8], countAt, 0), lengthAt, 4),
		"segments of 3":     with(with(good[:dataAt+9], countAt, 1), lengthAt, 3),
		"segments of 0":     with(good, lengthAt, 0),
		"more segments":     with(good, countAt, math.MaxUint32),
		"that wrap around":  with(with(good[:dataAt], countAt, math.MaxUint32-1), lengthAt, 1),
		"longer segments":   with(good, lengthAt, 1<<30),
		"too long segments": with(with(append(slices.Clone(good[:dataAt]), make([]byte, 3<<19)...), countAt, 1), lengthAt, 1<<19),
	} {
		if _, err := remembered.Decode(value); err == nil {
			t.Errorf("%s: it is taken for a filter", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, n := range []int{1, 5, 1000} {
		f.Add(filters(f, some(1, n))[0].Encode())
	}
	f.Add([]byte("verdict rows 1\n"))
	f.Fuzz(func(t *testing.T, value []byte) {
		filter, err := remembered.Decode(value)
		if err != nil {
			return
		}
		for _, r := range some(7, 1000) {
			filter.Has(r)
		}
		filter.Has(0)
		filter.Has(math.MaxUint64)
		if again := filter.Encode(); !slices.Equal(again, value) {
			t.Error("encoded again it is another value")
		}
	})
}

func BenchmarkBuilder(b *testing.B) {
	rows := some(1, remembered.MaxRows)
	b.ReportAllocs()
	for b.Loop() {
		filters(b, rows)
	}
}

func BenchmarkAsked(b *testing.B) {
	all := filters(b, some(1, remembered.MaxRows))
	var a remembered.Asked
	for _, r := range some(2, 1_000_000) {
		a.Add(r)
	}
	for b.Loop() {
		a.In(all[0])
	}
}
