package rows_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"verdict/internal/bulk/bulktest"
	"verdict/internal/bulk/rows"
)

func BenchmarkCheck(b *testing.B) {
	const n = 50_000
	path := filepath.Join(b.TempDir(), "decisions.jsonl")
	if err := os.WriteFile(path, []byte(bulktest.DecisionLines(b, n, 1)), 0o600); err != nil {
		b.Fatal(err)
	}
	in, err := rows.Open(b.Context(), []string{path}, nil, b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer in.Close()
	b.ReportAllocs()
	for b.Loop() {
		batch, err := rows.Check(b.Context(), in, rows.CheckOptions{TempDir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		batch.Close()
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkGenerator(b *testing.B) {
	g, err := rows.NewGenerator(rows.GeneratorOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.Next(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReader(b *testing.B) {
	csv, err := os.ReadFile("../../../examples/decisions-10k.csv")
	if err != nil {
		b.Fatal(err)
	}
	var jsonl bytes.Buffer
	reader, err := rows.NewReader(bytes.NewReader(csv), rows.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for {
		row, err := reader.Next()
		if err != nil {
			break
		}
		jsonl.Write(append(row.Value, '\n'))
	}
	plain := map[string][]byte{"csv": csv, "jsonl": jsonl.Bytes()}
	for _, bench := range []struct {
		name, of string
		open     func(io.Writer) io.WriteCloser
		o        rows.Options
	}{
		{name: "csv", of: "csv"},
		{name: "csv.gz", of: "csv", open: gzipped},
		{name: "csv.zst", of: "csv", open: zstandard},
		{name: "jsonl", of: "jsonl"},
		{name: "jsonl with set", of: "jsonl", o: rows.Options{Set: map[string]string{"batch_id": "b"}}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			file := plain[bench.of]
			if bench.open != nil {
				file = compressed(b, bench.open, string(file))
			}
			b.ReportAllocs()
			count := 0
			for b.Loop() {
				reader, err := rows.NewReader(bytes.NewReader(file), bench.o)
				if err != nil {
					b.Fatal(err)
				}
				for {
					_, err := reader.Next()
					if err == io.EOF {
						break
					}
					if err != nil {
						b.Fatal(err)
					}
					count++
				}
				reader.Close()
			}
			b.ReportMetric(float64(count)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
