package recordset_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"

	"verdict/internal/broker/recordset"
	"verdict/test/fixture"
)

// compression is how a test packs a batch.
type compression struct {
	number uint16
	pack   func([]byte) []byte
}

var compressions = map[string]compression{
	"none":           {0, func(b []byte) []byte { return b }},
	"gzip":           streamed(fixture.Gzip),
	"snappy":         {2, func(b []byte) []byte { return snappy.Encode(nil, b) }},
	"snappy of Java": streamed(fixture.Snappy),
	"lz4":            streamed(fixture.LZ4),
	"zstd":           streamed(fixture.Zstd),
}

// streamed packs in parts of 32 KiB, as the Java client does.
func streamed(c fixture.Compression) compression {
	return compression{uint16(c), func(b []byte) []byte {
		return c.Pack(slices.Collect(slices.Chunk(b, 32<<10))...)
	}}
}

// entry is a record of a test's batch.
type entry struct {
	delta   int64 // of its offset
	key     []byte
	value   []byte
	headers []recordset.Header
}

func appendBytes(b, v []byte) []byte {
	if v == nil {
		return binary.AppendVarint(b, -1)
	}
	return append(binary.AppendVarint(b, int64(len(v))), v...)
}

// encode returns the record as it is in a batch.
func (e *entry) encode() []byte {
	b := []byte{0}
	b = binary.AppendVarint(b, e.delta) // milliseconds after the first
	b = binary.AppendVarint(b, e.delta)
	b = appendBytes(appendBytes(b, e.key), e.value)
	b = binary.AppendVarint(b, int64(len(e.headers)))
	for _, h := range e.headers {
		b = appendBytes(appendBytes(b, []byte(h.Key)), h.Value)
	}
	return append(binary.AppendVarint(nil, int64(len(b))), b...)
}

// batch is a batch of v2.
type batch struct {
	first, last int64
	attributes  uint16
	producer    int64
	records     int32
	packed      []byte
}

const firstTime = fixture.FirstTime

func batchOf(first int64, c compression, entries ...entry) batch {
	b := batch{first: first, last: first, attributes: c.number, records: int32(len(entries)), producer: -1}
	var unpacked []byte
	for _, e := range entries {
		unpacked = append(unpacked, e.encode()...)
		b.last = first + e.delta
	}
	b.packed = c.pack(unpacked)
	return b
}

func (b batch) encode() []byte {
	rest := binary.BigEndian.AppendUint16(nil, b.attributes)
	rest = binary.BigEndian.AppendUint32(rest, uint32(b.last-b.first))
	rest = binary.BigEndian.AppendUint64(rest, firstTime)
	rest = binary.BigEndian.AppendUint64(rest, firstTime+1000)
	rest = binary.BigEndian.AppendUint64(rest, uint64(b.producer))
	rest = append(rest, 0, 0, 0, 0, 0, 0) // epoch and sequence
	rest = binary.BigEndian.AppendUint32(rest, uint32(b.records))
	rest = append(rest, b.packed...)
	out := binary.BigEndian.AppendUint64(nil, uint64(b.first))
	out = binary.BigEndian.AppendUint32(out, uint32(len(rest)+9))
	out = append(out, 0, 0, 0, 0, 2)
	out = binary.BigEndian.AppendUint32(out, crc32.Checksum(rest, crc32.MakeTable(crc32.Castagnoli)))
	return append(out, rest...)
}

// result is what a set holds.
type result struct {
	records []recordset.Record
	bad     []recordset.Bad
	next    int64
	err     error
}

func read(set []byte, from int64, aborted ...recordset.Aborted) (r result) {
	r.next, r.err = recordset.Read(set, from, aborted, recordset.Handler{
		Record: func(rec recordset.Record) error { r.records = append(r.records, rec); return nil },
		Bad:    func(b recordset.Bad) error { r.bad = append(r.bad, b); return nil },
	})
	return r
}

// offsets returns the offsets of the records, and those of bad batches in brackets.
func (r result) offsets() string {
	var all []string
	for _, rec := range r.records {
		all = append(all, fmt.Sprint(rec.Offset))
	}
	for _, b := range r.bad {
		all = append(all, fmt.Sprintf("[%d-%d]", b.First, b.Last))
	}
	return strings.Join(all, " ")
}

func some(deltas ...int64) (all []entry) {
	for _, d := range deltas {
		all = append(all, entry{delta: d, key: []byte("k"), value: fmt.Appendf(nil, "value %d", d)})
	}
	return all
}

func TestReadKeepsWhatARecordSays(t *testing.T) {
	for name, c := range compressions {
		t.Run(name, func(t *testing.T) {
			want := []entry{
				{delta: 0, value: []byte("v"), headers: []recordset.Header{{Key: "a", Value: []byte("b")}, {Key: "", Value: nil}, {Key: "e", Value: []byte{}}}},
				{delta: 3, key: []byte{}, value: []byte{}},
				{delta: 4, key: []byte("key")},
				{delta: 9, key: bytes.Repeat([]byte("k"), 1000), value: bytes.Repeat([]byte("long "), 100_000)},
			}
			got := read(batchOf(100, c, want...).encode(), 0)
			if got.err != nil || got.next != 110 || got.offsets() != "100 103 104 109" {
				t.Fatalf("%s, next %d, %v, %v", got.offsets(), got.next, got.bad, got.err)
			}
			for i, rec := range got.records {
				w := want[i]
				if !same(rec.Key, w.key) || !same(rec.Value, w.value) || !rec.Time.Equal(time.UnixMilli(firstTime+w.delta)) || rec.Size < int64(len(w.value)) {
					t.Errorf("%d: %.80v", i, rec)
				}
				if !slices.EqualFunc(rec.Headers, w.headers, sameHeader) {
					t.Errorf("%d: headers %v, want %v", i, rec.Headers, w.headers)
				}
			}
		})
	}
}

// same tells empty bytes from none.
func same(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

func sameHeader(a, b recordset.Header) bool { return a.Key == b.Key && same(a.Value, b.Value) }

func TestReadBeginsAndEndsWhereItIsAsked(t *testing.T) {
	none := compressions["none"]
	set := slices.Concat(batchOf(10, none, some(0, 1, 2)...).encode(), batchOf(13, none, some(0, 1)...).encode())
	whole := len(set)
	set = append(set, batchOf(15, none, some(0, 1)...).encode()...)
	for _, c := range []struct {
		set  []byte
		from int64
		want string
		next int64
	}{
		{set, 0, "10 11 12 13 14 15 16", 17},
		{set, 11, "11 12 13 14 15 16", 17},
		{set, 14, "14 15 16", 17},
		{set, 17, "", 18}, // as in TestBatchBeforeItsOffsetIsPassed
		{set[:len(set)-1], 12, "12 13 14", 15},
		{set[:whole+5], 12, "12 13 14", 15},
		{set[:20], 12, "", 12},
		{nil, 12, "", 12},
	} {
		if got := read(c.set, c.from); got.offsets() != c.want || got.next != c.next || got.err != nil {
			t.Errorf("%d bytes from %d: %s, next %d, %v; want %s, %d", len(c.set), c.from, got.offsets(), got.next, got.err, c.want, c.next)
		}
	}
}

// TestReadPassesWhatCompactionLeft has batches that lost records at their end, or all.
func TestReadPassesWhatCompactionLeft(t *testing.T) {
	none := compressions["none"]
	short := batchOf(10, none, some(1, 2)...)
	short.last = 14
	empty := batchOf(15, none)
	empty.last = 19
	set := slices.Concat(short.encode(), empty.encode())
	for from, want := range map[int64]string{0: "11 12", 12: "12", 13: "", 17: ""} {
		if got := read(set, from); got.offsets() != want || got.next != 20 {
			t.Errorf("from %d: %s, next %d", from, got.offsets(), got.next)
		}
	}
}

// TestBatchBeforeItsOffsetIsPassed has what a broker answers where the records from an
// offset on were compacted away.
func TestBatchBeforeItsOffsetIsPassed(t *testing.T) {
	if got := read(batchOf(4, compressions["none"], some(0)...).encode(), 7); got.offsets() != "" || got.next != 8 {
		t.Errorf("%s, next %d", got.offsets(), got.next)
	}
}

func TestReadLeavesAbortedTransactionsOut(t *testing.T) {
	const transactional, control = 1 << 4, 1 << 5
	in := func(producer, first int64, attributes uint16, n ...int64) []byte {
		b := batchOf(first, compressions["none"], some(n...)...)
		b.producer, b.attributes = producer, attributes
		return b.encode()
	}
	set := slices.Concat(
		in(1, 0, transactional, 0, 1), // aborted
		in(2, 2, transactional, 0),    // committed
		in(3, 3, 0, 0),                // no transaction
		in(1, 4, transactional|control, 0),
		in(2, 5, transactional|control, 0),
		in(1, 6, transactional, 0), // committed
		in(2, 7, transactional, 0), // aborted
		in(1, 8, transactional|control, 0),
		in(2, 9, 0, 0), // the same producer without a transaction
		in(2, 10, transactional|control, 0),
	)
	aborted := []recordset.Aborted{{ProducerID: 2, First: 7}, {ProducerID: 1, First: 0}}
	for from, want := range map[int64]string{0: "2 3 6 9", 3: "3 6 9", 5: "6 9", 8: "9"} {
		if got := read(set, from, aborted...); got.offsets() != want || got.next != 11 {
			t.Errorf("from %d: %s, next %d", from, got.offsets(), got.next)
		}
	}
}

func TestReadUsesTheTimeThatTheTopicSays(t *testing.T) {
	b := batchOf(0, compressions["none"], some(0, 5)...)
	b.attributes |= 1 << 3 // log-append time
	for _, rec := range read(b.encode(), 0).records {
		if !rec.Time.Equal(time.UnixMilli(firstTime + 1000)) {
			t.Errorf("%v", rec.Time)
		}
	}
	e := entry{value: []byte("v")}
	body := e.encode()
	for after, want := range map[int64]time.Time{-firstTime - 1: {}, -firstTime: {}, -firstTime + 1: time.UnixMilli(1)} {
		b := batchOf(0, compressions["none"], e)
		rest := binary.AppendVarint([]byte{0}, after)
		rest = append(rest, body[3:]...)
		b.packed = append(binary.AppendVarint(nil, int64(len(rest))), rest...)
		got := read(b.encode(), 0)
		if len(got.records) != 1 || !got.records[0].Time.Equal(want) {
			t.Errorf("%+v, %v", got.records, got.bad)
		}
	}
}

// TestBadBatchCostsItselfAlone breaks a batch between two good ones.
func TestBadBatchCostsItselfAlone(t *testing.T) {
	none := compressions["none"]
	good := batchOf(20, none, some(0, 1, 2)...)
	with := func(change func(b *batch)) []byte {
		b := good
		change(&b)
		return b.encode()
	}
	for name, c := range map[string]struct {
		middle []byte
		want   string
		says   string
	}{
		"checksum":                    {func() []byte { b := good.encode(); b[len(b)-1]++; return b }(), "10 30 [20-22]", "checksum"},
		"format":                      {func() []byte { b := good.encode(); b[16] = 3; return b }(), "10 30 [20-20]", "v3"},
		"compression not known":       {with(func(b *batch) { b.attributes = 5 }), "10 30 [20-22]", "compression 5"},
		"not gzip":                    {with(func(b *batch) { b.attributes = 1 }), "10 30 [20-22]", "gzip"},
		"not snappy":                  {with(func(b *batch) { b.attributes = 2 }), "10 30 [20-22]", "snappy"},
		"not lz4":                     {with(func(b *batch) { b.attributes = 3 }), "10 30 [20-22]", "lz4"},
		"not zstd":                    {with(func(b *batch) { b.attributes = 4 }), "10 30 [20-22]", "zstd"},
		"more records than there are": {with(func(b *batch) { b.records = 7 }), "10 20 21 22 30", ""},
		"more, and room for them":     {with(func(b *batch) { b.records, b.last = 7, 26 }), "10 20 21 22 30 [23-26]", "record 4 of 7: unexpected EOF"},
		"ends before its beginning":   {with(func(b *batch) { b.last = 19 }), "10 30 [20-20]", "before its beginning"},
		"offsets that don't rise":     {with(func(b *batch) { *b = batchOf(20, none, some(0, 0, 2)...) }), "10 20 30 [21-22]", "follows"},
		"an offset beyond its end":    {with(func(b *batch) { b.last = 21 }), "10 20 21 30", ""},
		"2^50 headers":                {with(func(b *batch) { b.packed, b.records, b.last = endlessHeaders(), 1, 20 }), "10 30 [20-20]", "headers"},
		"a record without end":        {with(func(b *batch) { b.packed, b.records, b.last = binary.AppendVarint(nil, 1<<40), 1, 20 }), "10 30 [20-20]", "size"},
		"a record of half a megabyte": {with(func(b *batch) { b.packed, b.records, b.last = binary.AppendVarint(nil, 1<<19), 1, 20 }), "10 30 [20-20]", "EOF"},
		"a key beyond its record":     {with(func(b *batch) { b.packed = []byte{20, 0, 0, 0, 100, 1, 1, 1, 1, 1, 1}; b.records, b.last = 1, 20 }), "10 30 [20-20]", "key: it claims 50 bytes"},
		"bytes behind a record":       {with(func(b *batch) { b.packed = []byte{14, 0, 0, 0, 1, 1, 0, 0}; b.records, b.last = 1, 20 }), "10 30 [20-20]", "follow"},
		"half a header":               {[]byte{0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 10, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0}, "10 30 [20-20]", "fewer than its header"},
	} {
		t.Run(name, func(t *testing.T) {
			set := slices.Concat(batchOf(10, none, some(0)...).encode(), c.middle, batchOf(30, none, some(0)...).encode())
			got := read(set, 0)
			if got.offsets() != c.want || got.next != 31 || got.err != nil {
				t.Errorf("%s, next %d, %v, %v; want %s", got.offsets(), got.next, got.bad, got.err, c.want)
			}
			for _, b := range got.bad {
				if !strings.Contains(b.Err.Error(), c.says) {
					t.Errorf("%v, want %q in it", b.Err, c.says)
				}
			}
		})
	}
}

func endlessHeaders() []byte {
	rest := binary.AppendVarint([]byte{0, 0, 0, 1, 1}, 1<<50)
	return append(binary.AppendVarint(nil, int64(len(rest))), rest...)
}

func TestImpossibleLengthIsAnError(t *testing.T) {
	set := batchOf(10, compressions["none"], some(0)...).encode()
	for _, length := range []uint32{0, 9, 1 << 31} {
		broken := slices.Clone(set)
		binary.BigEndian.PutUint32(broken[8:], length)
		got := read(slices.Concat(set, broken), 0)
		if !errors.Is(got.err, recordset.ErrFraming) || got.next != 11 || got.offsets() != "10" {
			t.Errorf("length %d: %s, next %d, %v", length, got.offsets(), got.next, got.err)
		}
	}
}

func TestErrorOfAHandlerEndsRead(t *testing.T) {
	set := slices.Concat(batchOf(10, compressions["none"], some(0, 1)...).encode(), batchOf(20, compression{7, func(b []byte) []byte { return b }}, some(0)...).encode())
	stop := errors.New("stop")
	for at := int64(10); at < 12; at++ {
		next, err := recordset.Read(set, 0, nil, recordset.Handler{Record: func(r recordset.Record) error {
			if r.Offset == at {
				return stop
			}
			return nil
		}})
		if !errors.Is(err, stop) || next != at+1 {
			t.Errorf("at %d: next %d, %v", at, next, err)
		}
	}
	next, err := recordset.Read(set, 12, nil, recordset.Handler{Bad: func(recordset.Bad) error { return stop }})
	if !errors.Is(err, stop) || next != 21 {
		t.Errorf("next %d, %v", next, err)
	}
}

// TestOldFormatsAreRead has messages of Kafka before its version 0.11.
func TestOldFormatsAreRead(t *testing.T) {
	for version := byte(0); version <= 1; version++ {
		for name, c := range compressions {
			t.Run(fmt.Sprintf("v%d %s", version, name), func(t *testing.T) {
				set := slices.Concat(fixture.Message(version, 0, 8, []byte{}, nil), fixture.Message(version, 0, 9, nil, []byte("nine")))
				if c.number != 0 {
					// Offsets 9 and 11, of which 10 was compacted away.
					at := []int64{9, 11}
					if version == 1 {
						at = []int64{1, 3}
					}
					inner := slices.Concat(fixture.Message(version, 0, at[0], []byte{}, nil), fixture.Message(version, 0, at[1], nil, []byte("nine")))
					set = fixture.Message(version, c.number, 11, nil, c.pack(inner))
				}
				got := read(set, 0)
				want, next := "8 9", int64(10)
				if c.number != 0 {
					want, next = "9 11", 12
				}
				if got.offsets() != want || got.next != next || got.err != nil || len(got.bad) > 0 {
					t.Fatalf("%s, next %d, %v, %v", got.offsets(), got.next, got.bad, got.err)
				}
				if a, b := got.records[0], got.records[1]; !same(a.Key, []byte{}) || a.Value != nil || b.Key != nil || string(b.Value) != "nine" || a.Time.IsZero() != (version == 0) {
					t.Errorf("%+v", got.records)
				}
				if got := read(set, next-1); got.offsets() != fmt.Sprint(next-1) {
					t.Errorf("from the last: %s", got.offsets())
				}
			})
		}
	}
	broken := fixture.Message(1, 0, 5, nil, []byte("v"))
	broken[len(broken)-1]++
	nested := fixture.Message(1, 1, 6, nil, compressions["gzip"].pack(fixture.Message(1, 1, 0, nil, nil)))
	short := fixture.Message(1, 1, 8, nil, compressions["gzip"].pack(fixture.Message(1, 0, 0, nil, nil)[:20]))
	got := read(slices.Concat(broken, nested, short, fixture.Message(1, 0, 9, nil, nil)), 5)
	if got.offsets() != "9 [5-5] [6-6] [7-8]" || got.next != 10 {
		t.Errorf("%s, next %d, %v", got.offsets(), got.next, got.bad)
	}
	stamped := fixture.Message(1, 1|1<<3, 9, nil, compressions["gzip"].pack(fixture.Message(1, 0, 0, nil, nil)))
	if got := read(stamped, 0); len(got.records) != 1 || !got.records[0].Time.Equal(time.UnixMilli(firstTime+9)) {
		t.Errorf("log-append time: %+v", got)
	}
}

// TestBombCostsOneRecord unpacks batches of a few kilobytes that hold a gigabyte, between
// records that are good, in each compression and format that streams.
func TestBombCostsOneRecord(t *testing.T) {
	size := 1 << 30
	if fixture.RaceEnabled() {
		size = 128 << 20
	}
	for name, c := range map[string]fixture.Compression{"gzip": fixture.Gzip, "lz4": fixture.LZ4, "zstd": fixture.Zstd, "snappy of Java": fixture.Snappy} {
		t.Run(name, func(t *testing.T) {
			bomb := fixture.Bomb(c, nil, size, []byte("before"), []byte("after"))
			b := batch{first: 5, last: 7, records: int32(bomb.Records), attributes: bomb.Attributes, packed: bomb.Packed}
			set := b.encode()
			var least runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&least)
			got := read(set, 0)
			var most runtime.MemStats
			runtime.ReadMemStats(&most)
			if got.offsets() != "5 6 7" || len(got.bad) > 0 {
				t.Fatalf("%s, %v", got.offsets(), got.bad)
			}
			if bomb := got.records[1]; bomb.Size <= int64(size) || bomb.Value != nil {
				t.Errorf("%+v", bomb)
			}
			if used := most.TotalAlloc - least.TotalAlloc; used > 40<<20 {
				t.Errorf("%d MiB were allocated for a batch of %d KiB", used>>20, len(set)>>10)
			}
		})
	}
}

func TestBlockOfSnappyThatLiesIsBad(t *testing.T) {
	b := batchOf(0, compressions["snappy"], some(0)...)
	b.packed = append(binary.AppendUvarint(nil, 1<<31), b.packed[1:]...)
	if got := read(b.encode(), 0); got.offsets() != "[0-0]" || !strings.Contains(got.bad[0].Err.Error(), "claims to hold") {
		t.Errorf("%s, %v", got.offsets(), got.bad)
	}
}

// TestHonestBatchOfManyIsRead has 50,000 small records in one batch, which pack well.
func TestHonestBatchOfManyIsRead(t *testing.T) {
	var entries []entry
	for i := range int64(50_000) {
		entries = append(entries, entry{delta: i, value: []byte(`{"profile_id":"3ceaaf30-8142-c8ea-91d9-3080f9b439fc","task_id":"70ff753d-3c88-ad8a-bd70-73d26c7e40ec","state":"COMPLETED_PASS"}`)})
	}
	for name, c := range compressions {
		if got := read(batchOf(0, c, entries...).encode(), 0); len(got.records) != len(entries) || len(got.bad) > 0 {
			t.Errorf("%s: %d records, %v", name, len(got.records), got.bad)
		}
	}
}

// FuzzRead wants no panic, no record that was not asked for, and offsets that rise.
func FuzzRead(f *testing.F) {
	for _, c := range compressions {
		f.Add(slices.Concat(batchOf(10, c, some(0, 1, 2)...).encode(), batchOf(13, c, some(0)...).encode()), int64(11), int64(-1))
		f.Add(slices.Concat(fixture.Message(0, 0, 3, nil, []byte("v")), fixture.Message(1, c.number, 9, nil, c.pack(fixture.Message(1, 0, 2, nil, []byte("v"))))), int64(3), int64(-1))
	}
	marker := batchOf(4, compressions["none"], some(0)...)
	marker.attributes, marker.producer = 1<<4|1<<5, 7
	f.Add(marker.encode(), int64(0), marker.producer)
	for _, set := range fromProducers(f) {
		f.Add(set, int64(1), producerOf(set))
	}
	f.Fuzz(func(t *testing.T, set []byte, from, producer int64) {
		from = max(from, 0)
		mend(set)
		at := from - 1
		check := func(first, last int64) {
			if first <= at || last < first {
				t.Fatalf("%d to %d after %d", first, last, at)
			}
			at = last
		}
		next, err := recordset.Read(set, from, []recordset.Aborted{{ProducerID: producer, First: 1}}, recordset.Handler{
			Record: func(r recordset.Record) error {
				check(r.Offset, r.Offset)
				if len(r.Value) > recordset.MaxRecord || r.Size > recordset.MaxRecord && len(r.Value) > 64<<10 {
					t.Fatalf("a value of %d bytes in a record of %d", len(r.Value), r.Size)
				}
				return nil
			},
			Bad: func(b recordset.Bad) error {
				check(b.First, b.Last)
				if b.Err == nil {
					t.Fatal("bad without a reason")
				}
				return nil
			},
		})
		if next < at+1 && err == nil {
			t.Fatalf("next is %d after %d", next, at)
		}
	})
}

// mend corrects the checksums of a set, so that what is behind them is reached.
func mend(set []byte) {
	for len(set) > 16 {
		length := int(int32(binary.BigEndian.Uint32(set[8:])))
		if length < 10 || length > len(set)-12 {
			return
		}
		b := set[:12+length]
		if b[16] == 2 && len(b) >= 61 {
			binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
		} else if b[16] < 2 {
			binary.BigEndian.PutUint32(b[12:], crc32.ChecksumIEEE(b[16:]))
		}
		set = set[len(b):]
	}
}
