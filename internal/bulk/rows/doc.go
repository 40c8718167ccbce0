// Package rows reads files of decisions as people have them, one row at a time: CSV in
// any usual form, sheets of .xlsx workbooks, and JSON, plain or compressed. What a file
// says is never guessed: where a column, a word or an encoding could mean several
// things, an error or a hint names the option that decides. It decodes every row as the service will, finds how rows
// relate to one another (duplicates, contradictions), and writes the rejected ones.
// It also generates decisions for demonstrations and tests. What makes a row a
// valid decision is left to package decision; sending rows to Kafka is left to
// package submit.
//
// A file is read twice: Check judges every row before anything is sent, then
// Batch.Each reads the rows again for the caller to send. So standard input and pipes
// are copied to a temporary file first, and the second pass fails if a file has
// changed in between.
//
// Memory does not grow with the input. A line is bounded by MaxLine, a row of a sheet
// with its markup by 8 MiB. To relate rows, each leaves a hash of its task and one of its
// ID in an external merge sort (package spill), which takes 66 bytes of temporary disk
// space per row (TMPDIR); equal hashes end up next to each other. The texts of a workbook, which
// its cells refer to by number, are in a temporary file as well. Checking 10,000,000 rows
// of CSV peaked at 55 MiB of resident memory, and a sheet of 500,000 rows with a million
// different texts at 53 MiB.
//
// Workbooks are read with archive/zip and encoding/xml alone: excelize v2.11.1 took 106
// MiB and the same time for that sheet, and unpacks a part before it is looked at.
//
// A batch's default ID is made from the uncompressed content, not from the file's
// name or the flags: the same content is the same batch. The content of a workbook is
// the rows of its sheet, however it was saved. Rows whose cells are all empty count as
// rows, so that the others keep the numbers that the first edition gave them.
package rows
