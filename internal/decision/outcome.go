package decision

// Outcome is how a decision was settled. Its text is the metric label and the
// wire value. A new outcome is one constant, its place in Outcomes and in
// schema/result.json, and its row in docs/events.md; tests name what is missing.
// Metrics, reports and summaries read the list.
type Outcome string

// The outcomes. A decision that is DeadLettered has a Reason and no result.
const (
	Completed       Outcome = "completed"        // Verdict's call completed the task
	AlreadyComplete Outcome = "already_complete" // a preflight found the wanted state; no call was needed
	Skipped         Outcome = "skipped"          // a preflight found the opposite state, which on_conflict=skip leaves alone
	Duplicate       Outcome = "duplicate"        // the same decision was settled with a result shortly before; it is not carried out again
	DeadLettered    Outcome = "dead_lettered"    // it is in the dead letter topic, for people to deal with
)

// Outcomes holds every outcome.
var Outcomes = [...]Outcome{Completed, AlreadyComplete, Skipped, Duplicate, DeadLettered}

// Reason is why a decision was dead-lettered. Its text is the metric label and
// the value of the header verdict-reason. A new reason is one constant, its place in
// Reasons and in schema/dead-letter-headers.json, and its row in docs/events.md.
type Reason string

// The reasons for a dead letter.
const (
	InvalidEvent     Reason = "invalid_event"     // the record is not a valid decision: correct its producer
	Expired          Reason = "expired"           // its expires_at passed before it could be carried out
	TaskNotFound     Reason = "task_not_found"    // 404, or the profile has no live task of that alias or type
	TaskAmbiguous    Reason = "task_ambiguous"    // the profile has several live tasks of that alias or type
	Forbidden        Reason = "forbidden"         // 401 or 403 for this task, while the API key itself is good
	Rejected         Reason = "rejected"          // the API refused it, and a retry can't change that
	Conflict         Reason = "conflict"          // the task was already completed in the opposite state
	Unconfirmed      Reason = "unconfirmed"       // the API accepted each attempt, and the task did not reach the wanted state
	RetriesExhausted Reason = "retries_exhausted" // the last attempt failed too: timeout, cut connection or 5xx
	Cancelled        Reason = "cancelled"         // its batch was cancelled before it was begun
	Lost             Reason = "lost"              // its record was deleted by retention or compaction while it waited
)

// Reasons holds every reason.
var Reasons = [...]Reason{
	InvalidEvent, Expired, TaskNotFound, TaskAmbiguous, Forbidden,
	Rejected, Conflict, Unconfirmed, RetriesExhausted, Cancelled, Lost,
}
