package backfill_test

import (
	"bytes"
	"io"
	"os"
	"runtime"
	"testing"

	backfill "verdict/internal/bulk"
)

// endless is header, then the body over and over, n bytes in all.
type endless struct {
	header, body []byte
	n, at        int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.n <= 0 {
		return 0, io.EOF
	}
	var n int
	if len(e.header) > 0 {
		n = copy(p, e.header)
		e.header = e.header[n:]
	} else {
		n = copy(p[:min(len(p), e.n)], e.body[e.at:])
		e.at = (e.at + n) % len(e.body)
	}
	e.n -= n
	return n, nil
}

func TestMemoryStaysFlatHoweverLongTheFile(t *testing.T) {
	const size = 16 << 20
	for name, file := range map[string]*endless{
		"good rows":                {[]byte("id,state\n"), []byte("1,COMPLETED_PASS\n"), size, 0},
		"one line without an end":  {[]byte("id,state\n"), bytes.Repeat([]byte("x"), 4096), size, 0},
		"one quote without an end": {[]byte("id,state\n\""), []byte("1,COMPLETED_PASS\n"), size, 0},
		"quotes by the million":    {[]byte("id,state\n"), []byte("\"\n"), size / 8, 0},
	} {
		t.Run(name, func(t *testing.T) {
			rows, err := backfill.NewRows(file, backfill.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			most := uint64(0)
			for n := 0; ; n++ {
				_, err := rows.Next()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if n%100_000 == 0 {
					runtime.GC()
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					most = max(most, m.HeapAlloc)
				}
			}
			if most > 16<<20 {
				t.Errorf("%d bytes held", most)
			}
		})
	}
}

func BenchmarkRows(b *testing.B) {
	csv, err := os.ReadFile("testdata/decisions-10k.csv")
	if err != nil {
		b.Fatal(err)
	}
	var jsonl bytes.Buffer
	rows, err := backfill.NewRows(bytes.NewReader(csv), backfill.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for {
		row, err := rows.Next()
		if err != nil {
			break
		}
		jsonl.Write(append(row.Value, '\n'))
	}
	plain := map[string][]byte{"csv": csv, "jsonl": jsonl.Bytes()}
	for _, bench := range []struct {
		name, of string
		open     func(io.Writer) io.WriteCloser
		o        backfill.Options
	}{
		{name: "csv", of: "csv"},
		{name: "csv.gz", of: "csv", open: gzipped},
		{name: "csv.zst", of: "csv", open: zstandard},
		{name: "jsonl", of: "jsonl"},
		{name: "jsonl with set", of: "jsonl", o: backfill.Options{Set: map[string]string{"batch_id": "b"}}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			file := plain[bench.of]
			if bench.open != nil {
				file = compressed(b, bench.open, string(file))
			}
			b.ReportAllocs()
			count := 0
			for b.Loop() {
				rows, err := backfill.NewRows(bytes.NewReader(file), bench.o)
				if err != nil {
					b.Fatal(err)
				}
				for {
					_, err := rows.Next()
					if err == io.EOF {
						break
					}
					if err != nil {
						b.Fatal(err)
					}
					count++
				}
				rows.Close()
			}
			b.ReportMetric(float64(count)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
