package backfill_test

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	backfill "verdict/internal/bulk"
	"verdict/internal/decision"
)

const (
	profileID = "ea70ade9-3de3-1785-203b-68044cd3ecbb"
	taskID    = "a2c4393a-e219-67a4-5ab4-2186952e9038"
)

// read is all rows of a file, each as its line, key, value and fault.
func read(t *testing.T, file string, o backfill.Options) ([]string, error) {
	t.Helper()
	rows, err := backfill.NewRows(strings.NewReader(file), o)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	return rest(rows)
}

func rest(rows *backfill.Rows) (all []string, err error) {
	for {
		row, err := rows.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		s := fmt.Sprintf("%d %s", row.Line, row.Value)
		if row.Key != nil {
			s += " key " + string(row.Key)
		}
		if row.Fault != "" {
			s += " fault " + row.Fault
		}
		all = append(all, s)
	}
}

func TestRows(t *testing.T) {
	for name, tc := range map[string]struct {
		file string
		o    backfill.Options
		want []string
	}{
		"nothing": {file: ""},
		"CSV: columns in any order, empty cells absent": {
			file: "state,is_complete,profile_id,id\nCOMPLETED_PASS,,p,1\n,true,,2\n,false,p,\n",
			want: []string{
				`2 {"state":"COMPLETED_PASS","profile_id":"p","id":"1"} key p`,
				`3 {"is_complete":true,"id":"2"}`,
				`4 {"is_complete":false,"profile_id":"p"} key p`,
			},
		},
		"CSV: what is wrong stays as it is": {
			file: "id,state,is_complete\n 1 ,completed_pass,TRUE\n\"a\"\"b\\\",\x01\t,\xff\n",
			want: []string{
				`2 {"id":" 1 ","state":"completed_pass","is_complete":"TRUE"}`,
				`3 {"id":"a\"b\\","state":"\u0001\u0009","is_complete":"` + "\xff" + `"}`,
			},
		},
		"CSV: a valid profile ID in any case is one key": {
			file: "profile_id,id\n" + strings.ToUpper(profileID) + ",1\nABC,2\n",
			want: []string{
				`2 {"profile_id":"` + strings.ToUpper(profileID) + `","id":"1"} key ` + profileID,
				`3 {"profile_id":"ABC","id":"2"} key ABC`,
			},
		},
		"CSV: byte order mark, CRLF, empty lines, no end": {
			file: "\ufeff\r\nid,state\r\n\r\n1,\"x\r\ny\"\r\n  \r\n2,z",
			want: []string{`4 {"id":"1","state":"x\ny"}`, `7 {"id":"2","state":"z"}`},
		},
		"CSV: semicolons, and commas in cells": {
			file: "id;reason\n1;a, b, c\n2;\"a;b\"\n",
			want: []string{`2 {"id":"1","reason":"a, b, c"}`, `3 {"id":"2","reason":"a;b"}`},
		},
		"CSV: tabs": {
			file: "id\treason\textra, with; all\n1\ta\tb\n",
			want: []string{`2 {"id":"1","reason":"a"}`},
		},
		"CSV: one column": {file: "id\n1\n\n2\n", want: []string{`2 {"id":"1"}`, `4 {"id":"2"}`}},
		"CSV: quoted header in another case, with white space": {
			file: "\"ID\", Profile_Id ,\"a\nb\"\n1,p,\n",
			want: []string{`3 {"id":"1","profile_id":"p"} key p`},
		},
		"CSV: a broken row is one fault and not the end": {
			file: "id,state\n1\n2,a,b\n3,a\"b\n4,\"a\"b\n5,\"a\n6,x\n7,y\n",
			want: []string{
				`2 1 fault the number of cells is 1, that of the header's is 2`,
				`3 2,a,b fault the number of cells is 3, that of the header's is 2`,
				`4 3,a"b fault a quote inside a cell that does not begin with one`,
				`5 4,"a"b fault text behind a cell's closing quote`,
				`6 5,"a fault a quote is not closed`,
				`7 {"id":"6","state":"x"}`,
				`8 {"id":"7","state":"y"}`,
			},
		},
		"CSV: a lost quote costs its row alone, also with quotes later": {
			file: "id,state\n1,\"a\n2,\"b\"\n3,c\n",
			want: []string{`2 1,"a fault text behind a cell's closing quote`, `3 {"id":"2","state":"b"}`, `4 {"id":"3","state":"c"}`},
		},
		"CSV: mapped columns and set fields": {
			file: "id,ref,person,state\n1,r1,p1,COMPLETED_PASS\n2,,,\n",
			o: backfill.Options{
				Map: map[string]string{"ref": "reason", "person": "profile_id"},
				Set: map[string]string{"batch_id": "b\"1", "is_complete": "true", "state": "", "source": "s"},
			},
			want: []string{
				`2 {"id":"1","reason":"r1","profile_id":"p1","batch_id":"b\"1","is_complete":true,"source":"s"} key p1`,
				`3 {"id":"2","batch_id":"b\"1","is_complete":true,"source":"s"}`,
			},
		},
		"CSV: nothing but what is set": {
			file: "id\n1\n", o: backfill.Options{Set: map[string]string{"id": "", "profile_id": "P"}},
			want: []string{`2 {"profile_id":"P"} key P`},
		},
		"JSON Lines: as they stand": {
			file: "\ufeff\n{\"id\": 1.0, \"profile_id\" :\"" + strings.ToUpper(profileID) + "\"} \r\n\n \t\nnot JSON\n[{\"profile_id\":\"p\"}]\n{\"profile_id\":7,\"Profile_ID\":\"x\"}\n{\"profile_id\":\"\\u0041\",\"profile_id\":\"B\"}",
			want: []string{
				`2 {"id": 1.0, "profile_id" :"` + strings.ToUpper(profileID) + `"}  key ` + profileID,
				`5 not JSON`,
				`6 [{"profile_id":"p"}]`,
				`7 {"profile_id":7,"Profile_ID":"x"}`,
				`8 {"profile_id":"\u0041","profile_id":"B"} key A`,
			},
		},
		"JSON Lines: mapped members and set fields, all else as it stands": {
			file: "{ \"ref\" : [1, 2] , \"x\\\"y\": 1.50, \"person\":\"p\", \"batch_id\":\"old\", \"x\\\"y\":null }\n{}\n{]\n",
			o:    backfill.Options{Map: map[string]string{"ref": "reason", "person": "profile_id"}, Set: map[string]string{"batch_id": "new"}},
			want: []string{
				`1 {"reason":[1, 2],"x\"y":1.50,"profile_id":"p","x\"y":null,"batch_id":"new"} key p`,
				`2 {"batch_id":"new"}`,
				`3 {]`,
			},
		},
		"JSON Lines by option, whatever the first line": {
			file: "x\n{}\n", o: backfill.Options{Format: backfill.JSONLines}, want: []string{`1 x`, `2 {}`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := read(t, tc.file, tc.o)
			if err != nil || !reflect.DeepEqual(got, tc.want) {
				t.Errorf("%v\ngot  %s\nwant %s", err, strings.Join(got, "\n     "), strings.Join(tc.want, "\n     "))
			}
		})
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	for name, tc := range map[string]struct {
		file, want string
		o          backfill.Options
	}{
		"no header":                {file: "\n1,2,3\n", want: "line 2: it names none of a decision's fields; is there a header?"},
		"header with a lost quote": {file: "id,\"state\n1,2\n", want: "line 1: a quote is not closed"},
		"header too long":          {file: strings.Repeat("x", backfill.MaxLine+1), want: "read the header: line too long"},
		"a column twice":           {file: "id,ID\n", want: `line 1: columns "id" and "ID" are both id`},
		"a JSON array":             {file: " [\n{}]", want: "a JSON array; give one JSON object a line"},
		"a spreadsheet":            {file: "PK\x03\x04rest", want: "a zip archive or a spreadsheet; save it as CSV, plain or with gzip or zstd"},
		"UTF-16":                   {file: "\xff\xfei\x00d\x00", want: "text in UTF-16; save it as UTF-8"},
		"broken gzip":              {file: "\x1f\x8bxx", want: "open as gzip: unexpected EOF"},
		"unknown format":           {file: "id\n", o: backfill.Options{Format: "xml"}, want: `format: must be csv or jsonl, is "xml"`},
		"every option wrong at once": {
			file: "id\n", o: backfill.Options{Map: map[string]string{"a": "b"}, Set: map[string]string{"c": "d"}},
			want: "map: column \"a\": \"b\" is no field of a decision; the fields are id, profile_id, task_id, task, state, is_complete, decided_at, expires_at, source, reason, batch_id\nset: \"c\" is no field of a decision; the fields are id, profile_id, task_id, task, state, is_complete, decided_at, expires_at, source, reason, batch_id",
		},
		"a mapped column that is missing": {
			file: "id\n", o: backfill.Options{Map: map[string]string{"a": "state"}}, want: `line 1: map: there is no column "a"`,
		},
		"a column mapped on another": {
			file: "id,a\n", o: backfill.Options{Map: map[string]string{"a": "id"}}, want: `line 1: columns "id" and "a" are both id`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := read(t, tc.file, tc.o); err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestColumnsThatAreNoFieldsAreKeptOutWithAWarning(t *testing.T) {
	for file, want := range map[string][]string{
		"id,state\n":        nil,
		"id,Name,,a\x1bb\n": {`kept out, since they are no fields of a decision: columns "Name", "", "a b"`},
		"id" + strings.Repeat(",x", 12) + "\n": {
			`kept out, since they are no fields of a decision: columns "x"` + strings.Repeat(`, "x"`, 9) + ` and 2 more`,
		},
	} {
		rows, err := backfill.NewRows(strings.NewReader(file), backfill.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := rows.Warnings(); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %q, want %q", file, got, want)
		}
		rows.Close()
	}
}

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
		panic(err) // only for bad options
	}
	return z
}

func TestCompressionIsFoundByContent(t *testing.T) {
	files := map[string]struct {
		plain string
		want  []string
	}{
		"CSV":        {"\ufeffid;state\r\n1;x\r\n", []string{`2 {"id":"1","state":"x"}`}},
		"JSON Lines": {"{\"id\":\"1\"}\n", []string{`1 {"id":"1"}`}},
	}
	for format, file := range files {
		for name, open := range map[string]func(io.Writer) io.WriteCloser{"gzip": gzipped, "zstd": zstandard} {
			whole := compressed(t, open, file.plain)
			// Read byte by byte: no Read has to give all that is asked for.
			rows, err := backfill.NewRows(iotest.OneByteReader(bytes.NewReader(whole)), backfill.Options{})
			if err != nil {
				t.Fatalf("%s, %s: %v", format, name, err)
			}
			if got, err := rest(rows); err != nil || !reflect.DeepEqual(got, file.want) {
				t.Errorf("%s, %s: got %q, %v", format, name, got, err)
			}
			rows.Close()
		}
	}
}

func TestACutFileGivesItsWholeLinesAndThenAnError(t *testing.T) {
	file := "id,state\n" + strings.Repeat("1,COMPLETED_PASS\n", 3)
	cut := errors.New("cut")
	rows, err := backfill.NewRows(io.MultiReader(strings.NewReader(file[:len(file)-3]), iotest.ErrReader(cut)), backfill.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	got, err := rest(rows)
	if len(got) != 2 || !errors.Is(err, cut) || err.Error() != "read line 4: cut" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, again := rows.Next(); again != err {
		t.Errorf("asked again: %v", again)
	}
}

func TestALineThatIsTooLongCostsItselfAlone(t *testing.T) {
	long := strings.Repeat("x", backfill.MaxLine)
	fits := long[:backfill.MaxLine-len("2,\n")]
	for name, tc := range map[string]struct {
		file  string
		lines []int // nil: as many as there are
		fault []int
	}{
		"CSV": {
			"id,state\n" + "2," + fits + "\n3,x" + fits + "\n4,y\n" + long + long + "\n6,z\n7," + long,
			[]int{2, 3, 4, 5, 6, 7},
			[]int{3, 5, 7},
		},
		"JSON Lines": {
			"{}\n" + long + "\n{}\n" + long + long,
			[]int{1, 2, 3, 4},
			[]int{2, 4},
		},
		"a quoted cell over many lines": {
			"id,state\n2,\"" + strings.Repeat("x\n", backfill.MaxLine/2) + "\"\n",
			nil, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			rows, err := backfill.NewRows(strings.NewReader(tc.file), backfill.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			var got []int
			for {
				row, err := rows.Next()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, row.Line)
				if len(row.Raw) > backfill.MaxLine {
					t.Errorf("line %d: %d bytes", row.Line, len(row.Raw))
				}
				if tc.lines == nil {
					if row.Fault == "" {
						t.Errorf("line %d is no fault", row.Line)
					}
					continue
				}
				faulty := slices.Contains(tc.fault, row.Line)
				if faulty != (row.Fault == "the line has more than 1048576 bytes") || faulty && row.Value != nil {
					t.Errorf("line %d: fault %q, value of %d bytes", row.Line, row.Fault, len(row.Value))
				}
			}
			if tc.lines != nil && !reflect.DeepEqual(got, tc.lines) {
				t.Errorf("lines %v; want %v", got, tc.lines)
			}
			if tc.lines == nil && len(got) != backfill.MaxLine/2+1 {
				t.Errorf("%d rows", len(got))
			}
		})
	}
}

func TestKeyAndValueOfARowOutliveTheNext(t *testing.T) {
	rows, err := backfill.NewRows(strings.NewReader("profile_id,id\np1,1\np2,2\n"), backfill.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	first, _ := rows.Next()
	_ = append(first.Value, "more"...) // must not reach the key
	second, _ := rows.Next()
	if string(first.Key) != "p1" || string(first.Value) != `{"profile_id":"p1","id":"1"}` || string(second.Key) != "p2" {
		t.Errorf("got %s %s, then %s", first.Key, first.Value, second.Key)
	}
	if rec := second.Record("t"); rec.Topic != "t" || string(rec.Key) != "p2" || string(rec.Value) != string(second.Value) {
		t.Errorf("got %+v", rec)
	}
}

// FuzzCSV holds the reader against encoding/csv: where that reads a file without
// an error, the rows are the same. It never panics, faults name lines that are
// there, in order, and a row that is no fault is valid JSON but for its encoding.
func FuzzCSV(f *testing.F) {
	for _, file := range []string{
		"id,state\n1,a\n2,b\n", "id;state\n\"a;b\";c\n", "id\tstate\n1\t2", "\ufeffid,x\r\n\"a\"\"b\",\"c\r\nd\"\r\n",
		"id,state\n1,\"a\n2,\"b\"\n3,c\n", "id,\"sta\nte\"\na,b\n\n\r\n\"\n\n\",\r", "id\n\"\"\n\"", "id,state\n,\n\x00,\xff\n",
	} {
		f.Add([]byte(file))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		rows, err := backfill.NewRows(iotest.HalfReader(bytes.NewReader(file)), backfill.Options{Format: backfill.CSV})
		if err != nil {
			return
		}
		defer rows.Close()
		var got []backfill.Row
		last := 0
		for {
			row, err := rows.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return // compressed, and broken
			}
			if row.Line <= last || row.Line > bytes.Count(file, []byte("\n"))+1 && !isCompressed(file) {
				t.Fatalf("line %d after line %d", row.Line, last)
			}
			last = row.Line
			if row.Fault == "" && !json.Valid(bytes.ToValidUTF8(row.Value, []byte("?"))) {
				t.Fatalf("line %d: %s", row.Line, row.Value)
			}
			got = append(got, row)
		}
		if isCompressed(file) {
			return
		}
		want, ok := byStandard(file)
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

// byStandard reads a file of comma-separated text by encoding/csv; ok is false
// where the two need not agree: errors, another separator, lines of white space.
func byStandard(file []byte) (rows []map[string]any, ok bool) {
	file = bytes.TrimPrefix(file, []byte("\ufeff"))
	if bytes.ContainsAny(file, ";\t") || !utf8.Valid(file) {
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
	for _, cells := range all[1:] {
		object := map[string]any{}
		for i, cell := range cells {
			i := slices.IndexFunc(decision.Fields[:], func(field string) bool {
				return strings.EqualFold(field, strings.TrimSpace(all[0][i]))
			})
			if i < 0 || cell == "" {
				continue
			}
			switch name := decision.Fields[i]; {
			case name == "is_complete" && (cell == "true" || cell == "false"):
				object[name] = cell == "true"
			default:
				object[name] = cell
			}
		}
		rows = append(rows, object)
	}
	return rows, true
}
