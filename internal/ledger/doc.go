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
package ledger
