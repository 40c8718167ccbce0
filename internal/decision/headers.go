package decision

// The headers that a dead letter adds to those of the record that it repeats.
const (
	HeaderReason      = "verdict-reason" // comes first, see firstAdded
	HeaderError       = "verdict-error"
	HeaderHTTPStatus  = "verdict-http-status"
	HeaderAttempts    = "verdict-attempts"
	HeaderDecisionID  = "verdict-decision-id"
	HeaderDecisionKey = "verdict-decision-key"
	HeaderTopic       = "verdict-topic"
	HeaderPartition   = "verdict-partition"
	HeaderOffset      = "verdict-offset"
	HeaderTimestamp   = "verdict-timestamp"
	HeaderFailedAt    = "verdict-failed-at"
	HeaderInstance    = "verdict-instance"
	HeaderRedrives    = "verdict-redrives"
	// HeaderValueOmitted holds the size of a value that was left out because the
	// record was too large, or 0 if it could not be read.
	HeaderValueOmitted = "verdict-value-omitted"
)

// The headers that a redriven record has in addition to those of the original,
// HeaderRedrives and HeaderRun.
const (
	// HeaderRedrivenFrom is the dead letter that the record repeats, as
	// topic/partition/offset.
	HeaderRedrivenFrom = "verdict-redriven-from"
	// HeaderRedrivenOrigin is the decision's first record, however often it has
	// been redriven since, as topic/partition/offset.
	HeaderRedrivenOrigin = "verdict-redriven-origin"
	// HeaderEditedBy is who changed the value when it was redriven.
	HeaderEditedBy = "verdict-edited-by"
	// HeaderEdit is the SHA-256 of the patch by which it was changed, in hexadecimal.
	HeaderEdit = "verdict-edit"
)

// The headers that say which batch a decision was submitted in. Its dead letter
// keeps them. A result has the batch's ID alone, where the value has it, and
// points at the record by its origin.
const (
	// HeaderBatchID is the ID of the batch.
	HeaderBatchID = "verdict-batch-id"
	// HeaderBatchLine is the decision's place in the batch, decimal: the number of
	// its row, from 1, over all files. Rows that were not sent leave gaps.
	HeaderBatchLine = "verdict-batch-line"
	// HeaderBatchSize is the number of decisions in the batch, decimal.
	HeaderBatchSize = "verdict-batch-size"
	// HeaderRun is the run of Verdict that wrote the record. The ledger says whose runs are a
	// batch's: a record belongs to a batch for that reason, and not because it names one.
	HeaderRun = "verdict-run"
)

// The headers, of records and of HTTP alike, that tie their message to a trace, see Trace.
const (
	HeaderTraceparent = "traceparent"
	HeaderTracestate  = "tracestate"
)
