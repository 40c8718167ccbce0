// Package explain finds what happened to one decision, or to all decisions on one
// task: every record about it, in chronological order. It only reads Kafka,
// without a consumer group. Printing is left to the command line.
package explain
