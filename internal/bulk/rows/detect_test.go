package rows_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"verdict/internal/bulk/rows"
)

// FuzzCSVForms writes one table in every form that is detected: separator, encoding,
// line ends, titles. Each is read as the same rows.
func FuzzCSVForms(f *testing.F) {
	for i, text := range []string{"plain", "a,b;c\td|e", "\"quoted\"", "two\nlines", "Zoë 李 😀", "sep=;", "id", "\\N", "'", "{x}"} {
		f.Add(text, "second", uint(i))
	}
	f.Fuzz(func(t *testing.T, reason, source string, form uint) {
		reason, source = cellText(reason), cellText(source)
		if !utf8.ValidString(reason) || !utf8.ValidString(source) || strings.ContainsAny(reason+source, "\r\x00") || len(reason)+len(source) > 1000 {
			return
		}
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		w.Comma = []rune{',', ';', '\t', '|'}[form%4]
		if titles := form / 4 % 3; titles > 0 {
			b.WriteString(strings.Repeat("A title\n", int(titles)))
		}
		header := []string{"Profile ID", "task-id", "STATE", "reason", "source"}
		record := []string{profileID, taskID, "COMPLETED_PASS", reason, source}
		_, _ = w.Write(header), w.Write(record)
		w.Flush()
		text := b.String()
		if form/12%2 == 1 {
			text = strings.ReplaceAll(text, "\n", "\r\n")
		}
		file := []byte(text)
		switch form / 24 % 4 {
		case 1:
			file = append([]byte("\ufeff"), file...)
		case 2, 3:
			file = encode("\ufeff"+text, form/24%4 == 2)
		}
		reader, err := rows.NewReader(bytes.NewReader(file), rows.Options{})
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		defer reader.Close()
		row, err := reader.Next()
		if err != nil || row.Fault != "" {
			t.Fatalf("%q: %v, %s", text, err, row.Fault)
		}
		want := map[string]string{"profile_id": profileID, "task_id": taskID, "state": "COMPLETED_PASS"}
		for name, value := range map[string]string{"reason": reason, "source": source} {
			if value != "" && (value != `\N` || w.Comma != '\t') {
				want[name] = value
			}
		}
		got := map[string]string{}
		if err := json.Unmarshal(row.Value, &got); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%q: %s, %v; want %v", text, row.Value, err, want)
		}
		if _, err := reader.Next(); err != io.EOF {
			t.Fatalf("%q: another row: %v", text, err)
		}
	})
}

// cellText returns text as it is after a cell was trimmed.
func cellText(s string) string {
	return strings.TrimFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || strings.ContainsRune("\u200b\u200c\u200d\u2060\ufeff", r)
	})
}

// FuzzRead reads anything, as a file: no panic, rows in order, and the second reading
// is the first again, with the same content.
func FuzzRead(f *testing.F) {
	for _, name := range []string{"python-excel.csv", "python-cr.csv", "excel-sep-caret.csv", "excel-unicode-text.txt", "python-titles.csv", "jq-array.json", "jq-objects.json", "xlsxwriter-1904.xlsx", "zip-mac.zip", "xlwt.xls"} {
		b, err := os.ReadFile(filepath.Join("testdata", "corpus", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		if isCompressed(file) {
			return // it may unpack to anything
		}
		first, firstErr := readAll(t, file)
		second, secondErr := readAll(t, file)
		if first != second || fmt.Sprint(firstErr) != fmt.Sprint(secondErr) {
			t.Fatalf("first %s, %v\nthen  %s, %v", first, firstErr, second, secondErr)
		}
	})
}

// readAll returns a summary of all rows of a file.
func readAll(t *testing.T, file []byte) (string, error) {
	t.Helper()
	content, read := sha256.New(), sha256.New()
	reader, err := rows.NewReader(bytes.NewReader(file), rows.Options{Content: content, TempDir: t.TempDir()})
	if err != nil {
		return "", err
	}
	defer reader.Close()
	for last := 0; ; {
		row, err := reader.Next()
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			return fmt.Sprintf("%x of %x, %q, %q", read.Sum(nil), content.Sum(nil), reader.Warnings(), reader.Hints()), err
		}
		if row.Line <= last || row.Fault == "" && !row.Blank && row.Value == nil {
			t.Fatalf("line %d after line %d, %+v", row.Line, last, row)
		}
		last = row.Line
		_, _ = row.Decode()
		fmt.Fprintf(read, "%d %q %q %s\n", row.Line, row.Value, row.Raw, row.Fault)
	}
}
