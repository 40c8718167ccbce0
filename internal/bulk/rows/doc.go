// Package rows reads files of decisions: CSV and JSON Lines, plain or compressed,
// one row at a time. It decodes every row as the service will, finds how rows
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
// Memory does not grow with the input. A line is bounded by MaxLine. To relate rows,
// each leaves a hash of its task and one of its ID in an external merge sort (package spill),
// which takes 66 bytes of temporary disk space per row (TMPDIR); equal hashes end up
// next to each other. Checking 1,000,000 rows peaked at 49.9 MiB of resident memory
// and checking 10,000,000 at 50.2 MiB.
//
// A batch's default ID is made from the uncompressed content, not from the file's
// name or the flags: the same content is the same batch.
package rows
