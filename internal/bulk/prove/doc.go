// Package prove makes and checks evidence of a batch: a file that shows what was decided,
// how each decision ended and who gave which commands, and that can be checked without Kafka
// and without Verdict's configuration. Reading the batch's records is left to package
// follow, and printing to the command line.
//
// Evidence is JSON Lines, and docs/evidence.md is its specification: a Manifest, a Decision
// for each record of the batch, a Command for each act, and an End. Each line has the
// SHA-256 of the previous line's hash and its own content (chain.go), and the End is
// signed. Neither the API's answers nor the values of records are in it, only hashes of them.
//
// Memory does not grow with the batch but for five bytes a decision, which package follow
// keeps. The parts of a decision are in several topics, so they are sorted by decision on
// disk (gather.go), joined, and sorted once more by their place in the batch.
//
// How a decision ended follows from its parts alone (settled.go), so Check works it out
// again.
package prove
