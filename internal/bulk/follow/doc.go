// Package follow watches a batch until its last decision is settled, reports each
// decision, and reconciles: every decision of the batch is in exactly one term of
// Summary.Reconciliation. It only reads Kafka, without a consumer group, so it can be
// started at any time, on any machine, also long after the batch was sent. Printing
// is left to the command line, and sending to package submit.
//
// It reads in rounds. A round takes the ends of the results and dead letters first,
// then those of the decisions, and reads the decisions first: so what settles
// a decision finds it in the tally, which takes a byte an offset and a bit a line.
//
// A record belongs to the batch by its header, or without one by the batch_id in its
// value; a result or dead letter also counts if retention deleted its decision.
// A redriven copy names the first record of its decision
// (decision.HeaderRedrivenOrigin). The decision counts by its latest copy: from when
// the copy is published it is unsettled, until the copy is settled. Where one record
// was settled twice, by a crash, a result counts before a dead letter. A second record
// of a line that is not a redrive counts as nothing.
//
// The report is a second pass over the same offsets. It writes a row when the record
// that settled a decision comes by, so it holds nothing in memory.
package follow
