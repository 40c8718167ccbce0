// Package explain finds what happened to one decision, or to all decisions on one
// task: every record that speaks of it, in the order of time. It only reads Kafka,
// without a consumer group. Printing is left to the command line.
package explain
