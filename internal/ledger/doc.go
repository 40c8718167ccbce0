// Package ledger is what Verdict remembers of what people do with it: batches, redrives,
// holds, rates, and who is at work. It is kept in one compacted topic, the control topic,
// whose order decides: under each key the last valid record counts. What was done is kept
// in a second topic, the audit topic, record by record (Act).
//
// This package is pure: records, their signatures, and the State that they add up to.
// Package store reads and writes them.
//
// # Not obvious
//
// A key begins with the consumer group, so that several groups can share the topics.
//
// A record that can't be read, or that nobody trusted has signed, changes nothing: what its
// key held before still counts. It is reported instead (Refused).
//
// With trusted keys a record is valid only if its actor signed it. The signature covers the
// group, the key, the value and the offset of the key's previous valid record, so that a
// record can't be moved to another key or repeated later. Verdict's own records, those of
// instances, are not signed: they command nothing.
//
// Compaction keeps the last record of a key, valid or not. So somebody who may write to the
// control topic and has no key could have a valid record removed by an invalid one after it,
// or by a copy of an old one, which nobody who starts later could tell from a new one. The
// audit topic is not compacted, and has each signed command too. Who starts reads it first
// (Witness): then a copy of what came before is refused, and what was removed is known to be
// missing (Missing).
package ledger
