package rows_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"
	"unicode/utf8"

	"verdict/internal/bulk/rows"
	"verdict/internal/decision"
)

// FuzzCSV compares the reader with encoding/csv: where that reads a file without an
// error, the rows are the same. The reader never panics, its rows are on lines that
// exist, in order, and a row without a fault is valid JSON apart from its encoding.
func FuzzCSV(f *testing.F) {
	for _, file := range []string{
		"id,state\n1,a\n2,b\n", "id;state\n\"a;b\";c\n", "id\tstate\n1\t2", "\ufeffid,x\r\n\"a\"\"b\",\"c\r\nd\"\r\n",
		"id,state\n1,\"a\n2,\"b\"\n3,c\n", "id,\"sta\nte\"\na,b\n\n\r\n\"\n\n\",\r", "id\n\"\"\n\"", "id,state\n,\n\x00,\xff\n",
	} {
		f.Add([]byte(file))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		reader, err := rows.NewReader(iotest.HalfReader(bytes.NewReader(file)), rows.Options{Format: rows.CSV})
		if err != nil {
			return
		}
		defer reader.Close()
		var got []rows.Row
		last := 0
		for {
			row, err := reader.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return // a damaged compressed file
			}
			if row.Line <= last || row.Line > bytes.Count(file, []byte("\n"))+bytes.Count(file, []byte("\r"))+1 && !isCompressed(file) {
				t.Fatalf("line %d after line %d", row.Line, last)
			}
			last = row.Line
			if row.Blank || strings.HasPrefix(row.Fault, "no column that holds a field") {
				continue
			}
			if row.Fault == "" && !json.Valid(bytes.ToValidUTF8(row.Value, []byte("?"))) {
				t.Fatalf("line %d: %s", row.Line, row.Value)
			}
			got = append(got, row)
		}
		if isCompressed(file) {
			return
		}
		want, ok := readByEncodingCSV(file)
		if !ok {
			return
		}
		if len(got) != len(want) {
			t.Fatalf("%d rows; encoding/csv reads %d", len(got), len(want))
		}
		for i, row := range got {
			var object map[string]any
			if err := json.Unmarshal(row.Value, &object); row.Fault != "" || err != nil {
				t.Fatalf("line %d: %q, %v", row.Line, row.Fault, err)
			}
			if !reflect.DeepEqual(object, want[i]) {
				t.Fatalf("line %d: %v; encoding/csv reads %v", row.Line, object, want[i])
			}
		}
	})
}

func isCompressed(file []byte) bool {
	return bytes.HasPrefix(file, []byte{0x1f, 0x8b}) || bytes.HasPrefix(file, []byte{0x28, 0xb5, 0x2f, 0xfd})
}

// readByEncodingCSV reads a file with encoding/csv. It returns false where the two need
// not agree: errors, another separator, lines of white space or that end with \r alone,
// columns that are known by another spelling, a header that is not the first row.
func readByEncodingCSV(file []byte) (objects []map[string]any, ok bool) {
	file = bytes.TrimPrefix(file, []byte("\ufeff"))
	if bytes.ContainsAny(file, ";\t|") || !utf8.Valid(file) || bytes.Contains(bytes.ToLower(file), []byte("sep=")) ||
		bytes.Contains(bytes.ReplaceAll(file, []byte("\r\n"), nil), []byte("\r")) {
		return nil, false
	}
	for line := range bytes.Lines(file) {
		if string(line) != "\n" && string(line) != "\r\n" && len(bytes.TrimSpace(line)) == 0 {
			return nil, false
		}
	}
	all, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
	if err != nil || len(all) == 0 {
		return nil, false
	}
	if slices.ContainsFunc(all[0], func(name string) bool { return isSpelling(name) && !isField(strings.TrimSpace(name)) }) {
		return nil, false
	}
	for _, cells := range all[1:] {
		if slices.ContainsFunc(cells, isSpelling) {
			return nil, false
		}
		object := map[string]any{}
		for i, cell := range cells {
			cell = strings.TrimFunc(cell, func(r rune) bool {
				return unicode.IsSpace(r) || strings.ContainsRune("\u200b\u200c\u200d\u2060\ufeff", r)
			})
			i := slices.IndexFunc(decision.Fields[:], func(field string) bool {
				return strings.EqualFold(field, strings.TrimSpace(all[0][i]))
			})
			if i < 0 || cell == "" {
				continue
			}
			switch name := decision.Fields[i]; {
			case (name == "profile_id" || name == "task_id") && len(cell) > 2 && cell[0] == '{':
				return nil, false
			case name == "is_complete" && (cell == "true" || cell == "false"):
				object[name] = cell == "true"
			default:
				object[name] = cell
			}
		}
		if len(object) > 0 {
			objects = append(objects, object)
		}
	}
	return objects, true
}

func isField(name string) bool {
	return slices.ContainsFunc(decision.Fields[:], func(field string) bool { return strings.EqualFold(field, name) })
}

// isSpelling reports whether a name may be taken for a field's.
func isSpelling(name string) bool {
	letters := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
	return strings.HasSuffix(letters, "uuid") || letters == "taskstate" || letters == "decisionid" ||
		slices.ContainsFunc(decision.Fields[:], func(field string) bool { return strings.ReplaceAll(field, "_", "") == letters })
}
