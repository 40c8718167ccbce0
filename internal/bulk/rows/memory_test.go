package rows_test

import (
	"bytes"
	"io"
	"runtime"
	"strings"
	"testing"

	"verdict/internal/bulk/rows"
)

// endless reads as header and then body over and over, n bytes in all.
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

func TestReaderMemoryStaysFlatForLongFiles(t *testing.T) {
	const size = 16 << 20
	wide := func(s string) []byte { return []byte(strings.Join(strings.Split(s, ""), "\x00") + "\x00") }
	for name, file := range map[string]*endless{
		"good rows":                {[]byte("id,state\n"), []byte("1,COMPLETED_PASS\n"), size, 0},
		"one line without an end":  {[]byte("id,state\n"), bytes.Repeat([]byte("x"), 4096), size, 0},
		"one quote without an end": {[]byte("id,state\n\""), []byte("1,COMPLETED_PASS\n"), size, 0},
		"quotes by the million":    {[]byte("id,state\n"), []byte("\"\n"), size / 8, 0},
		"lines that end with CR":   {[]byte("id,state\r"), []byte("1,COMPLETED_PASS\r"), size / 4, 0},
		"UTF-16":                   {nil, wide("id\tstate\n1\tCOMPLETED_PASS\n2\tx\n"), size / 4, 0},
		"states by the million":    {[]byte("id,state\n"), []byte("1,a\n1,b\n1,c\n1,d\n1,e\n1,f\n1,g\n1,h\n1,i\n1,j\n1,k\n1,l\n1,m\n1,n\n"), size / 8, 0},
		"blank rows":               {[]byte("id,state\n"), []byte(",\n\n"), size / 8, 0},
		"a JSON array":             {[]byte("["), []byte("{\"id\":\"1\"}, "), size / 4, 0},
		"a JSON array of spaces":   {[]byte("["), bytes.Repeat([]byte(" "), 4096), size, 0},
		"JSON over several lines":  {nil, []byte("{\n\"id\":\"1\"\n}\n"), size / 4, 0},
	} {
		t.Run(name, func(t *testing.T) {
			o := rows.Options{}
			if name == "UTF-16" {
				o.Encoding = rows.UTF16LE
			}
			reader, err := rows.NewReader(file, o)
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			most := uint64(0)
			for n := 0; ; n++ {
				_, err := reader.Next()
				if err == io.EOF {
					break
				}
				if err != nil && strings.Contains(name, "JSON") {
					break // it is cut off somewhere
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
				t.Errorf("%d bytes in use", most)
			}
		})
	}
}
