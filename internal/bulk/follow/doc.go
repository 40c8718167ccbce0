// Package follow watches a batch until its last decision is settled, reports each
// decision, and reconciles: every decision of the batch is in exactly one term of
// Summary.Reconciliation. It only reads Kafka, without a consumer group, so it can be
// started at any time, on any machine, even long after the batch was sent. Printing is
// left to the command line, and sending to package submit.
//
// It reads in rounds. A round notes what the service's group has committed, then the ends of
// the results and dead letters, then those of the decisions, and reads the decisions first. So a decision is in the
// tally before the record that settles it is read. The tally takes five bytes per offset
// and a bit per line.
//
// A result or dead letter names the place of its decision, and that place has another
// decision once a topic was deleted and made again. So the tally keeps a fingerprint of
// each (decision.Fingerprint), and ignores the ends of others.
//
// A record belongs to the batch by the run that wrote it, where the ledger knows the batch's
// runs (Options.Runs). Otherwise it does by its header, or without one by the batch_id in its
// value. A result or dead letter also counts if retention deleted its decision. A
// redriven copy names the dead letter that it repeats, and is believed if it does
// (copies.go). The decision counts by its latest copy: it is
// unsettled from when that copy is published until the copy is settled. If a crash let
// one record be settled twice, a result takes precedence over a dead letter. A second
// record of a line, unless it is a redrive, is not counted as a decision.
//
// The report is a second pass over the same offsets. It writes a decision's row when
// it reads the record that settled the decision, so it holds nothing in memory. Parts, from
// which package prove makes evidence, is such a second pass as well.
package follow
