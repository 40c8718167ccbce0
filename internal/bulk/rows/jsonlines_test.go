package rows_test

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"verdict/internal/bulk/rows"
)

// FuzzJSONLines compares the reader with a split at line ends. Without Map and Set
// every line that is not blank is kept as it is, in order. With them an object stays an
// object and has what was set, and any other line is kept as it is.
func FuzzJSONLines(f *testing.F) {
	for _, file := range []string{
		"{}\n{}\n", "{\"profile_id\":\"p\",\"x\":[1,{}]}\r\n\r\n \n{\"ref\":1,\"batch_id\":\"old\"}", "\ufeff{}\nnot JSON\n[1]\n{\"a\":1,\"a\":2}",
		"\xff\xfe", "\xfe\xff\x00{\x00}", "PK\x03\x04", "{\"\\u0072ef\":\"\\ud83d\\ude00\",\"profile_id\":\"\\\"\"}\n\x00\n\xff\xfe\n", "\n\n\r\r\n{", "{\"batch_id\":1,\"batch_id\":2}\n", "{ }\n{\"ref\":1 , \"reason\":2}",
	} {
		f.Add([]byte(file))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		if len(file) >= rows.MaxLine || isCompressed(file) {
			return
		}
		if bytes.HasPrefix(file, []byte("PK\x03\x04")) {
			if _, err := rows.NewReader(bytes.NewReader(file), rows.Options{Format: rows.JSONLines}); err == nil {
				t.Fatal("an archive was read as text")
			}
		}
		if bytes.HasPrefix(file, []byte("\xff\xfe")) || bytes.HasPrefix(file, []byte("\xfe\xff")) || // UTF-16 text
			bytes.Contains(bytes.ReplaceAll(file, []byte("\r\n"), nil), []byte("\r")) { // lines that end with \r alone
			return
		}
		var lines [][]byte
		for line := range bytes.Lines(bytes.TrimPrefix(file, []byte("\ufeff"))) {
			line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
			if len(bytes.TrimSpace(line)) > 0 {
				lines = append(lines, line)
			}
		}
		for _, o := range []rows.Options{
			{Format: rows.JSONLines},
			{Format: rows.JSONLines, Map: map[string]string{"ref": "reason"}, Set: map[string]string{"batch_id": "new"}},
		} {
			reader, err := rows.NewReader(iotest.HalfReader(bytes.NewReader(file)), o)
			if err != nil {
				if len(lines) > 0 && !strings.HasPrefix(err.Error(), "the file ") { // is something else, and says what
					t.Fatalf("%d lines: %v", len(lines), err)
				}
				continue
			}
			n := 0
			for ; ; n++ {
				row, err := reader.Next()
				if err == io.EOF {
					break
				}
				if err != nil || n >= len(lines) {
					t.Fatalf("row %d of %d: %v", n, len(lines), err)
				}
				checkJSONRow(t, &row, lines[n], o.Set != nil)
			}
			if n != len(lines) {
				t.Fatalf("%d rows of %d lines", n, len(lines))
			}
			reader.Close()
		}
	})
}

// checkJSONRow checks the row of a line. An object is edited if the options said so.
func checkJSONRow(t *testing.T, row *rows.Row, line []byte, edited bool) {
	t.Helper()
	if row.Fault != "" {
		t.Fatalf("line %d: %s", row.Line, row.Fault)
	}
	var object map[string]any
	isObject := json.Unmarshal(line, &object) == nil && object != nil
	if !edited || !isObject {
		if !bytes.Equal(row.Value, line) {
			t.Fatalf("line %d: %q, want %q", row.Line, row.Value, line)
		}
		return
	}
	var after map[string]any
	if err := json.Unmarshal(row.Value, &after); err != nil || after["batch_id"] != "new" || bytes.Count(row.Value, []byte(`"batch_id":`)) < 1 {
		t.Fatalf("line %d: %q, %v", row.Line, row.Value, err)
	}
	if _, left := after["ref"]; left {
		t.Fatalf("line %d: %q is not mapped", row.Line, row.Value)
	}
}
