package rows_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"verdict/internal/bulk/rows"
)

// encode returns text in UTF-16, the lower byte first or last.
func encode(text string, little bool) []byte {
	var b []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		if little {
			b = append(b, byte(unit), byte(unit>>8))
		} else {
			b = append(b, byte(unit>>8), byte(unit))
		}
	}
	return b
}

func TestReaderReadsEncodingsByteByByte(t *testing.T) {
	const text = "id\treason\n1\tZoë 李 😀\n2\tx\n"
	want := []string{`2 {"id":"1","reason":"Zoë 李 😀"}`, `3 {"id":"2","reason":"x"}`}
	for name, tc := range map[string]struct {
		file []byte
		o    rows.Options
		want []string
	}{
		"UTF-16, little end first":        {encode("\ufeff"+text, true), rows.Options{}, want},
		"UTF-16, big end first":           {encode("\ufeff"+text, false), rows.Options{}, want},
		"UTF-16 without mark, as told":    {encode(text, true), rows.Options{Encoding: rows.UTF16LE}, want},
		"UTF-16 with mark, as told":       {encode("\ufeff"+text, false), rows.Options{Encoding: rows.UTF16BE}, want},
		"UTF-8 with mark, as told":        {[]byte("\ufeff" + text), rows.Options{Encoding: rows.UTF8}, want},
		"Windows-1252":                    {[]byte("id,reason\n1,Zo\xeb \x80 \x93\xdf\x94\n"), rows.Options{Encoding: rows.Windows1252}, []string{`2 {"id":"1","reason":"Zoë € “ß”"}`}},
		"half a surrogate pair is a byte": {append(encode("\ufeffid,reason\n1,", true), 0x3d, 0xd8, 'x', 0, '\n', 0), rows.Options{}, []string{"2 {\"id\":\"1\",\"reason\":\"\xed\xa0\xbdx\"}"}},
		"JSON Lines in UTF-16":            {encode("\ufeff{\"id\":\"ë\"}\n", true), rows.Options{}, []string{`1 {"id":"ë"}`}},
	} {
		t.Run(name, func(t *testing.T) {
			reader, err := rows.NewReader(iotest.OneByteReader(bytes.NewReader(tc.file)), tc.o)
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			got, err := rest(reader)
			if err != nil || strings.Join(got, "\n") != strings.Join(tc.want, "\n") {
				t.Errorf("%v\ngot  %q\nwant %q", err, got, tc.want)
			}
		})
	}
}

func TestReaderReportsHalfACharacterOfUTF16(t *testing.T) {
	file := encode("\ufeffid\n1\n", true)
	reader, err := rows.NewReader(bytes.NewReader(file[:len(file)-1]), rows.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if _, err := rest(reader); err == nil || !strings.Contains(err.Error(), "an odd number of bytes; the file may be cut short") {
		t.Error(err)
	}
}

func TestReaderRefusesToGarbleUTF8(t *testing.T) {
	o := rows.Options{Encoding: rows.Windows1252}
	if _, err := read(t, "id,reason\n1,Zoë\n", o); err == nil || !strings.Contains(err.Error(), "the file is UTF-8 text") {
		t.Error(err)
	}
	if got, err := read(t, "id,reason\n1,Zoe\n", o); err != nil || len(got) != 1 {
		t.Errorf("ASCII: %q, %v", got, err)
	}
	if got, err := read(t, "id,reason\n1,\xc3\xab Zo\xeb\n", o); err != nil || len(got) != 1 {
		t.Errorf("mixed: %q, %v", got, err)
	}
}

// What is not UTF-8 in a column that is not used does no harm.
func TestReaderMindsTheEncodingOfUsedColumnsOnly(t *testing.T) {
	got, err := read(t, "id,name,state\n1,Zo\xeb,x\n", rows.Options{})
	if err != nil || len(got) != 1 || got[0] != `2 {"id":"1","state":"x"}` {
		t.Errorf("%q, %v", got, err)
	}
}
