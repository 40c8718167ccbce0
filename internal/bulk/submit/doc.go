// Package submit sends the rows of a checked batch to its topic, each of them once, even if
// the process is killed, stands still, or runs on two machines. The same command continues,
// on any machine, where the last one stopped. Reading and checking the files is left to
// package rows, watching the batch afterwards to package follow.
//
// It relies on Kafka's transactions: rows and the batch's entry in the ledger, which says
// how far the batch is, are committed together (package store). So what the ledger says is
// in the topic is there, and nothing else is; continuing takes no search and no memory. The
// batch has a transactional ID of its own. Whoever runs the command takes it over, which
// makes Kafka refuse all that the one before still sends. No clock is compared.
//
// # Not obvious
//
// A Write that failed may have been done. The ledger tells: its entry is either the one
// before or the next (attempt).
//
// The entry with the run is written before the first row, so that each row's run
// (decision.HeaderRun) is known before the row is seen.
//
// A batch that a Verdict without a ledger began is carried over (firstedition.go). Only
// then are rows looked for in the topic.
package submit
