package rows_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"verdict/internal/bulk/rows"
)

const (
	rootRelations  = `<Relationships><Relationship Id="a" Type="x/officeDocument" Target="xl/workbook.xml"/></Relationships>`
	bookRelations  = `<Relationships><Relationship Id="s" Type="x/worksheet" Target="sheet.xml"/><Relationship Id="t" Type="x/sharedStrings" Target="strings.xml"/></Relationships>`
	oneSheet       = `<workbook xmlns:r="r"><sheets><sheet name="One" sheetId="1" r:id="s"/></sheets></workbook>`
	sheetBeginning = `<worksheet><sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>id</t></is></c><c r="B1" t="inlineStr"><is><t>state</t></is></c></row>`
)

// book returns a workbook with a sheet and shared strings, which write writes as far as
// they are wanted, so that they need not be in memory.
func book(t testing.TB, sheet, shared func(io.Writer)) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	text := func(s string) func(io.Writer) { return func(w io.Writer) { _, _ = io.WriteString(w, s) } }
	for _, part := range []struct {
		name  string
		write func(io.Writer)
	}{
		{"[Content_Types].xml", text("<Types/>")}, {"_rels/.rels", text(rootRelations)}, {"xl/workbook.xml", text(oneSheet)},
		{"xl/_rels/workbook.xml.rels", text(bookRelations)}, {"xl/sheet.xml", sheet}, {"xl/strings.xml", shared},
	} {
		w, err := z.Create(part.name)
		if err != nil {
			t.Fatal(err)
		}
		if part.write != nil {
			part.write(w)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func sheetOf(format string, args ...any) func(io.Writer) {
	return func(w io.Writer) { fmt.Fprintf(w, sheetBeginning+format+"</sheetData></worksheet>", args...) }
}

// A workbook of a few kilobytes may unpack to gigabytes, and its parts may say anything.
func TestReaderBoundsHostileWorkbooks(t *testing.T) {
	repeat := func(s string, n int) func(io.Writer) {
		return func(w io.Writer) {
			block := strings.Repeat(s, 1000)
			for range n / 1000 {
				_, _ = io.WriteString(w, block)
			}
		}
	}
	within := func(start string, many func(io.Writer)) func(io.Writer) {
		return func(w io.Writer) { _, _ = io.WriteString(w, start); many(w) }
	}
	for name, tc := range map[string]struct {
		sheet, shared func(io.Writer)
		want          string
	}{
		"a cell without an end":         {sheet: within(sheetBeginning+`<row r="2"><c r="A2"><v>`, repeat("12345678", 3<<19)), want: "an element is too large"},
		"a row without an end":          {sheet: within(sheetBeginning+`<row r="2">`, repeat("<x></x>", 3<<19)), want: "an element is too large"},
		"an attribute without an end":   {sheet: within(sheetBeginning+`<row r="`, repeat("22222222", 3<<19)), want: "an element is too large"},
		"elements that nest":            {sheet: within(sheetBeginning, repeat("<x>", 1<<18)), want: "elements are nested too deeply"},
		"a shared string without end":   {sheet: sheetOf(""), shared: within("<sst><si><t>", repeat("12345678", 1<<19)), want: "an element is too large"},
		"an entity":                     {sheet: within(`<!DOCTYPE x [<!ENTITY a "aaaa">]>`, sheetOf(`<row r="2"><c r="A2"><v>&a;</v></c></row>`)), want: "invalid character entity &a;"},
		"rows that go back":             {sheet: sheetOf(`<row r="5"/><row r="4"/>`), want: `row "4" comes after row 5`},
		"a row beyond the last":         {sheet: sheetOf(`<row r="1048577"/>`), want: `row "1048577" comes after row 1`},
		"a row that is no number":       {sheet: sheetOf(`<row r="x"/>`), want: `row "x" comes after row 1`},
		"cells that go back":            {sheet: sheetOf(`<row r="2"><c r="B2"/><c r="A2"/></row>`), want: `a cell "A2" where column C should be`},
		"a cell beyond the last column": {sheet: sheetOf(`<row r="2"><c r="XFE2"/></row>`), want: `cell "XFE2" is beyond the last column`},
		"a cell in no column":           {sheet: sheetOf(`<row r="2"><c r="7"/></row>`), want: `a cell "7"`},
		"a column of many letters":      {sheet: sheetOf(`<row r="2"><c r="%s"/></row>`, strings.Repeat("Z", 1000)), want: "is beyond the last column"},
		"a text that is not there":      {sheet: sheetOf(`<row r="2"><c r="A2" t="s"><v>7</v></c></row>`), shared: within("<sst><si><t>a</t></si></sst>", repeat("", 0)), want: "refers to text 7, which is not there"},
		"a text below zero":             {sheet: sheetOf(`<row r="2"><c r="A2" t="s"><v>-1</v></c></row>`), want: "refers to text -1"},
		"a text without a number":       {sheet: sheetOf(`<row r="2"><c r="A2" t="s"><v>x</v></c></row>`), want: `refers to text "x"`},
		"elements that don't match":     {sheet: sheetOf(`<row r="2"></c></row>`), want: "element <row> closed by </c>"},
		"a sheet that ends early":       {sheet: within(sheetBeginning, repeat("", 0)), want: "unexpected EOF"},
		"a text many times in a row": {
			sheet:  within(sheetBeginning+`<row r="2">`, repeat(`<c t="s"><v>0</v></c>`, 10_000)),
			shared: within("<sst><si><t>"+strings.Repeat("x", 32_000)+"</t></si></sst>", repeat("", 0)), want: "row 2 is longer than 1048576 bytes",
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := book(t, tc.sheet, tc.shared)
			if len(file) > 1<<20 {
				t.Fatalf("the file has %d bytes", len(file))
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			reader, err := rows.NewReader(bytes.NewReader(file), rows.Options{TempDir: t.TempDir()})
			if err == nil {
				_, err = rest(reader)
				reader.Close()
			}
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v; want %s", err, tc.want)
			}
			if grown := after.Sys - before.Sys; grown > 64<<20 {
				t.Errorf("%d MiB of memory", grown>>20)
			}
		})
	}
}

func TestReaderReadsSheetsAsWritten(t *testing.T) {
	shared := func(w io.Writer) {
		_, _ = io.WriteString(w, `<sst><si><t>COMPLETED_PASS</t></si><si><r><t>COMPLETED</t></r><r><t>_FAIL</t></r><rPh><t>x</t></rPh></si></sst>`)
	}
	file := book(t, sheetOf(`<row><c><v>7</v></c><c t="s"><v>0</v></c></row><row r="9" hidden="1"><c r="B9" t="s"><v>1</v></c></row>`+
		`<row r="10"><c r="A10" t="b"><v>1</v></c><c t="inlineStr"><is><t xml:space="preserve"> a&amp;b </t></is></c></row><row r="11"><c r="A11" t="e"><v>#N/A</v></c></row>`+
		`<row r="12"/><row r="13"><c r="A13" s="4"/><c r="AA13"><v>1.5E3</v></c></row>`), shared)
	reader, err := rows.NewReader(bytes.NewReader(file), rows.Options{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	got, err := rest(reader)
	want := []string{
		`2 {"id":"7","state":"COMPLETED_PASS"}`, `9 {"state":"COMPLETED_FAIL"}`, `10 {"id":"TRUE","state":"a&b"}`, `11 {"id":"#N/A"}`,
		`13 ,,,,,,,,,,,,,,,,,,,,,,,,,,1500 fault the row has 27 cells, but the header has 2`,
	}
	if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%v\ngot\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The index of an archive is read before its files are known, and must not take
// the memory that it asks for.
func TestReaderBoundsTheIndexOfAnArchive(t *testing.T) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	long := strings.Repeat("x", 60_000)
	for i := range 200 {
		if _, err := z.Create(fmt.Sprintf("%s%d", long, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := rows.NewReader(bytes.NewReader(b.Bytes()), rows.Options{})
	if err == nil || !strings.Contains(err.Error(), "its index is larger than 8 MiB") {
		t.Error(err)
	}
}

// The content of a sheet is its rows, not how the workbook was saved.
func TestCheckKnowsASheetByItsRows(t *testing.T) {
	one := `<row r="2"><c r="A2"><v>7</v></c><c t="s"><v>0</v></c></row>`
	shared := func(w io.Writer) { _, _ = io.WriteString(w, `<sst><si><t>COMPLETED_PASS</t></si></sst>`) }
	var ids []string
	for _, sheet := range []func(io.Writer){
		sheetOf("%s", one),
		sheetOf("\n%s\n<row r=\"3\"><c r=\"A3\" s=\"1\"/></row>", strings.ReplaceAll(one, `<v>7</v>`, `<v>7.0</v>`)),
		sheetOf("%s", strings.ReplaceAll(one, `>7<`, `>8<`)),
	} {
		ids = append(ids, check(t, openFiles(t, "", string(book(t, sheet, shared))), rows.CheckOptions{}).ID)
	}
	if ids[0] != ids[1] || ids[0] == ids[2] {
		t.Errorf("%q", ids)
	}
}
