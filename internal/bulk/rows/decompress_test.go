package rows_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"reflect"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"verdict/internal/bulk/rows"
)

func compressed(t testing.TB, open func(io.Writer) io.WriteCloser, file string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := open(&b)
	if _, err := io.WriteString(w, file); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }

func zstandard(w io.Writer) io.WriteCloser {
	z, err := zstd.NewWriter(w)
	if err != nil {
		panic(err) // bad options only
	}
	return z
}

func TestReaderDetectsCompressionByContent(t *testing.T) {
	files := map[string]struct {
		plain string
		want  []string
	}{
		"CSV":        {"\ufeffid;state\r\n1;x\r\n", []string{`2 {"id":"1","state":"x"}`}},
		"JSON Lines": {"{\"id\":\"1\"}\n", []string{`1 {"id":"1"}`}},
	}
	for format, file := range files {
		padded := append(compressed(t, gzipped, file.plain[:5]), compressed(t, gzipped, file.plain[5:])...)
		reader, err := rows.NewReader(bytes.NewReader(append(padded, make([]byte, 5000)...)), rows.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := rest(reader); err != nil || !reflect.DeepEqual(got, file.want) {
			t.Errorf("%s, gzip in two members, padded: got %q, %v", format, got, err)
		}
		reader.Close()
		for name, open := range map[string]func(io.Writer) io.WriteCloser{"gzip": gzipped, "zstd": zstandard} {
			whole := compressed(t, open, file.plain)
			// One byte at a time: a Read may return less than it was asked for.
			reader, err := rows.NewReader(iotest.OneByteReader(bytes.NewReader(whole)), rows.Options{})
			if err != nil {
				t.Fatalf("%s, %s: %v", format, name, err)
			}
			if got, err := rest(reader); err != nil || !reflect.DeepEqual(got, file.want) {
				t.Errorf("%s, %s: got %q, %v", format, name, got, err)
			}
			reader.Close()
		}
	}
}
