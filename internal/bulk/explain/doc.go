// Package explain finds what happened to one decision, or to all decisions on one task or
// profile: every record about it, in chronological order; what people did to it, by the audit
// topic; and what holds it now, by the ledger. It only reads Kafka, without a consumer group.
// Printing is left to the command line.
package explain
