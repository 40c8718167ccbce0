package rows_test

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"verdict/internal/bulk/rows"
)

const (
	profileID = "ea70ade9-3de3-1785-203b-68044cd3ecbb"
	taskID    = "a2c4393a-e219-67a4-5ab4-2186952e9038"
)

// read returns all rows of a file, each as its line, value, key and fault.
func read(t *testing.T, file string, o rows.Options) ([]string, error) {
	t.Helper()
	reader, err := rows.NewReader(strings.NewReader(file), o)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	return rest(reader)
}

// rest returns all rows that are left.
func rest(reader *rows.Reader) (all []string, err error) {
	for {
		row, err := reader.Next()
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

// readerCases are files with the rows that they hold, as rest returns them.
var readerCases = map[string]struct {
	file string
	o    rows.Options
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
	"CSV: wrong values are kept, trimmed": {
		file: "id,state,is_complete\n 1 ,completed_pass,TRUE\n\"a\"\"b\\\",\x01\t,\xff\n",
		want: []string{
			`2 {"id":"1","state":"completed_pass","is_complete":"TRUE"}`,
			`3 {"id":"a\"b\\","state":"\u0001","is_complete":"` + "\xff" + `"}`,
		},
	},
	"CSV: a valid profile ID is one key in any case": {
		file: "profile_id,id\n" + strings.ToUpper(profileID) + ",1\nABC,2\n",
		want: []string{
			`2 {"profile_id":"` + strings.ToUpper(profileID) + `","id":"1"} key ` + profileID,
			`3 {"profile_id":"ABC","id":"2"} key ABC`,
		},
	},
	"CSV: byte order mark, CRLF, blank lines, no last line end": {
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
	"CSV: a malformed row is one fault, and reading goes on": {
		file: "id,state\n1\n2,a,b\n3,a\"b\n4,\"a\"b\n5,\"a\n6,x\n7,y\n",
		want: []string{
			`2 1 fault the row has 1 cells, but the header has 2`,
			`3 2,a,b fault the row has 3 cells, but the header has 2`,
			`4 3,a"b fault a quote inside a cell that does not begin with one`,
			`5 4,"a"b fault text after a cell's closing quote`,
			`6 5,"a fault a quote is not closed`,
			`7 {"id":"6","state":"x"}`,
			`8 {"id":"7","state":"y"}`,
		},
	},
	"CSV: an unclosed quote costs its own row only": {
		file: "id,state\n1,\"a\n2,\"b\"\n3,c\n",
		want: []string{`2 1,"a fault text after a cell's closing quote`, `3 {"id":"2","state":"b"}`, `4 {"id":"3","state":"c"}`},
	},
	"CSV: mapped columns and set fields": {
		file: "id,ref,person,state\n1,r1,p1,COMPLETED_PASS\n2,,,\n",
		o: rows.Options{
			Map: map[string]string{"ref": "reason", "person": "profile_id"},
			Set: map[string]string{"batch_id": "b\"1", "is_complete": "true", "state": "", "source": "s"},
		},
		want: []string{
			`2 {"id":"1","reason":"r1","profile_id":"p1","batch_id":"b\"1","is_complete":true,"source":"s"} key p1`,
			`3 {"id":"2","batch_id":"b\"1","is_complete":true,"source":"s"}`,
		},
	},
	"CSV: only set fields": {
		file: "id\n1\n", o: rows.Options{Set: map[string]string{"id": "", "profile_id": "P"}},
		want: []string{`2 {"profile_id":"P"} key P`},
	},
	"JSON Lines: lines are kept as they are": {
		file: "\ufeff\n{\"id\": 1.0, \"profile_id\" :\"" + strings.ToUpper(profileID) + "\"} \r\n\n \t\nnot JSON\n[{\"profile_id\":\"p\"}]\n{\"profile_id\":7,\"Profile_ID\":\"x\"}\n{\"profile_id\":\"\\u0041\",\"profile_id\":\"B\"}",
		want: []string{
			`2 {"id": 1.0, "profile_id" :"` + strings.ToUpper(profileID) + `"}  key ` + profileID,
			`5 not JSON`,
			`6 [{"profile_id":"p"}]`,
			`7 {"profile_id":7,"Profile_ID":"x"}`,
			`8 {"profile_id":"\u0041","profile_id":"B"} key A`,
		},
	},
	"JSON Lines: mapped members and set fields, the rest kept": {
		file: "{ \"ref\" : [1, 2] , \"x\\\"y\": 1.50, \"person\":\"p\", \"batch_id\":\"old\", \"x\\\"y\":null }\n{}\n{]\n",
		o:    rows.Options{Map: map[string]string{"ref": "reason", "person": "profile_id"}, Set: map[string]string{"batch_id": "new"}},
		want: []string{
			`1 {"reason":[1, 2],"x\"y":1.50,"profile_id":"p","x\"y":null,"batch_id":"new"} key p`,
			`2 {"batch_id":"new"}`,
			`3 {]`,
		},
	},
	"JSON Lines by option, whatever the first line": {
		file: "x\n{}\n", o: rows.Options{Format: rows.JSONLines}, want: []string{`1 x`, `2 {}`},
	},
}

func TestReaderReadsRows(t *testing.T) {
	for name, tc := range readerCases {
		t.Run(name, func(t *testing.T) {
			got, err := read(t, tc.file, tc.o)
			if err != nil || !reflect.DeepEqual(got, tc.want) {
				t.Errorf("%v\ngot  %s\nwant %s", err, strings.Join(got, "\n     "), strings.Join(tc.want, "\n     "))
			}
		})
	}
}

func TestReaderExplainsUnreadableFiles(t *testing.T) {
	for name, tc := range map[string]struct {
		file, want string
		o          rows.Options
	}{
		"no header":                     {file: "\n1,2,3\n", want: `line 2: no column is a field of a decision (profile_id, task_id, state …); the columns are "1", "2", "3"; if this is the header, say what they hold, such as --map COLUMN1=profile_id --map COLUMN2=task_id --map COLUMN3=state`},
		"header with an unclosed quote": {file: "id,\"state\n1,2\n", want: "line 1: a quote is not closed"},
		"header too long":               {file: strings.Repeat("x", rows.MaxLine+1), want: "read the header: line too long"},
		"a column twice":                {file: "id,ID\n", want: `line 1: "id" (column A) and "ID" (column B) both look like id; say which one it is: --map id=id or --map ID=id`},
		"half an archive":               {file: "PK\x03\x04rest", want: "open as a zip archive or workbook: zip: not a valid zip file; it may be cut short"},
		"broken gzip":                   {file: "\x1f\x8bxx", want: "open as gzip: unexpected EOF"},
		"unknown format":                {file: "id\n", o: rows.Options{Format: "xml"}, want: `format: must be csv or jsonl, is "xml"`},
		"every option wrong at once": {
			file: "id\n", o: rows.Options{Map: map[string]string{"a": "b"}, Set: map[string]string{"c": "d"}},
			want: "map: column \"a\": \"b\" is not a field of a decision; the fields are id, profile_id, task_id, task, state, is_complete, decided_at, expires_at, source, reason, batch_id\nset: \"c\" is not a field of a decision; the fields are id, profile_id, task_id, task, state, is_complete, decided_at, expires_at, source, reason, batch_id",
		},
		"a mapped column that is missing": {
			file: "id\n", o: rows.Options{Map: map[string]string{"a": "state"}}, want: `line 1: map: the header has no column "a"; its columns are "id"`,
		},
		"two columns mapped on one field": {
			file: "b,a\n", o: rows.Options{Map: map[string]string{"a": "id", "b": "id"}}, want: `line 1: map: "b" (column A) and "a" (column B) are both mapped to id; map one of them`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := read(t, tc.file, tc.o); err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

// What a hint proposes can be typed, and does nothing else, whatever the file says.
func TestHintsQuoteWhatTheFileSays(t *testing.T) {
	reader, err := rows.NewReader(strings.NewReader("profile_id,task_id,\u202eit's $(x) state\n"), rows.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	want := `no column is the state; if one of "\u202eit's $(x) state" is, add --map 'it'\''s $(x) state=state'; if all rows have the same, add --set state=COMPLETED_PASS or --set state=COMPLETED_FAIL`
	if got := reader.Hints(); len(got) != 1 || got[0] != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestReaderWarnsOfIgnoredColumns(t *testing.T) {
	for file, want := range map[string][]string{
		"id,state\n":        nil,
		"id,Name,,a\x1bb\n": {`ignored columns that are not fields of a decision: "Name", "a b"`},
		"id" + strings.Repeat(",x", 12) + "\n": {
			`ignored columns that are not fields of a decision: "x"` + strings.Repeat(`, "x"`, 9) + ` and 2 more`,
		},
	} {
		reader, err := rows.NewReader(strings.NewReader(file), rows.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := reader.Warnings(); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %q, want %q", file, got, want)
		}
		reader.Close()
	}
}

func TestRowKeyAndValueOutliveTheNextRow(t *testing.T) {
	reader, err := rows.NewReader(strings.NewReader("profile_id,id\np1,1\np2,2\n"), rows.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	first, _ := reader.Next()
	_ = append(first.Value, "more"...) // must not overwrite the key
	second, _ := reader.Next()
	if string(first.Key) != "p1" || string(first.Value) != `{"profile_id":"p1","id":"1"}` || string(second.Key) != "p2" {
		t.Errorf("got %s %s, then %s", first.Key, first.Value, second.Key)
	}
	if rec := second.Record("t"); rec.Topic != "t" || string(rec.Key) != "p2" || string(rec.Value) != string(second.Value) {
		t.Errorf("got %+v", rec)
	}
}
