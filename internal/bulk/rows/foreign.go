package rows

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"unicode/utf16"
)

// asText says how to save a spreadsheet so that it can be read.
const asText = "open it in a spreadsheet program and save it as .xlsx or as CSV"

// foreign are kinds of files that can't be read, by how they begin, and what to do.
var foreign = []struct{ magic, problem string }{
	{"%PDF-", "the file is a PDF, which has no rows; ask for the spreadsheet or CSV that it was made from"},
	{"{\\rtf", "the file is a text document (RTF); save its table as .xlsx or as CSV"},
	{"<?xml", "the file is XML, which some programs export as .xls; " + asText},
	{"<html", "the file is a web page (HTML), which some programs export as .xls; " + asText},
	{"<!doctype", "the file is a web page (HTML), which some programs export as .xls; " + asText},
	{"<table", "the file is a web page (HTML), which some programs export as .xls; " + asText},
	{"SQLite format 3\x00", "the file is an SQLite database; export the table, for example: sqlite3 -header -csv FILE 'SELECT …' > decisions.csv"},
	{"PGDMP", "the file is a dump of a PostgreSQL database; export the table with COPY … TO STDOUT WITH (FORMAT csv, HEADER)"},
	{"PGCOPY\n\xff\r\n\x00", "the file is PostgreSQL's binary COPY format; export the table with COPY … TO STDOUT WITH (FORMAT csv, HEADER)"},
	{"PAR1", "the file is Parquet; export it as CSV or JSON Lines"},
	{"Obj\x01", "the file is an Avro container; export it as CSV or JSON Lines"},
	{"BZh", "the file is compressed with bzip2; unpack it first, or compress it with gzip or zstd"},
	{"\xfd7zXZ\x00", "the file is compressed with xz; unpack it first, or compress it with gzip or zstd"},
	{"7z\xbc\xaf\x27\x1c", "the file is a 7-Zip archive; unpack it first"},
	{"Rar!\x1a\x07", "the file is a RAR archive; unpack it first"},
	{"\x89PNG", "the file is a picture; ask for the spreadsheet or CSV that it shows"},
	{"\xff\xd8\xff", "the file is a picture; ask for the spreadsheet or CSV that it shows"},
	{"\x1f\x8b", "the file is compressed twice; unpack it once"},
	{"\x28\xb5\x2f\xfd", "the file is compressed twice; unpack it once"},
	{"PK\x03\x04", "the file is a zip archive or a workbook within another archive, or comes through a pipe; unpack it first"},
	{oleMagic, "the file is an Excel workbook of before 2007 (.xls), or one that is protected by a password; " + asText + ", without a password"},
}

// foreignFault returns an error for content of a kind that can't be read.
func foreignFault(head []byte) error {
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\ufeff")), " \t\r\n")
	for _, f := range foreign {
		if len(head) >= len(f.magic) && bytes.EqualFold(head[:len(f.magic)], []byte(f.magic)) {
			return errors.New(f.problem)
		}
	}
	return nil
}

// oleMagic begins a compound file: a workbook of before 2007, or an encrypted one.
const oleMagic = "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

// oleFault returns the error for a compound file. Its directory says what is in it.
func oleFault(r io.ReaderAt) error {
	var header [52]byte
	if _, err := r.ReadAt(header[:], 0); err != nil || string(header[:len(oleMagic)]) != oleMagic {
		return nil
	}
	shift := min(12, max(9, binary.LittleEndian.Uint16(header[30:])))
	directory := make([]byte, 4096)
	n, _ := r.ReadAt(directory, (int64(binary.LittleEndian.Uint32(header[48:]))+1)<<shift) // a short one is enough
	directory = directory[:n]
	switch {
	case bytes.Contains(directory, utf16Bytes("EncryptedPackage")):
		return errors.New("the workbook is protected by a password; open it with the password and save a copy without one")
	case bytes.Contains(directory, utf16Bytes("Workbook")), bytes.Contains(directory, utf16Bytes("Book")):
		return errors.New("the file is an Excel workbook of before 2007 (.xls); " + asText)
	case bytes.Contains(directory, utf16Bytes("WordDocument")):
		return errors.New("the file is a Word document; copy its table into a spreadsheet and save it as .xlsx or as CSV")
	}
	return foreignFault(header[:])
}

func utf16Bytes(s string) []byte {
	var b []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return b
}
