package decision

// PauseCause is why the service makes no calls for a while. Its text is the
// metric label.
type PauseCause string

// The causes of a pause.
const (
	PausedAuth      PauseCause = "auth"      // the API refuses the key: correct api.key or api.key_file
	PausedOutage    PauseCause = "outage"    // the API does not work; probes find out when it does again
	PausedThrottled PauseCause = "throttled" // the API asks for fewer calls (429)
	PausedKafka     PauseCause = "kafka"     // Kafka or the Schema Registry can't be reached or refuses
)

// PauseCauses holds every cause of a pause.
var PauseCauses = [...]PauseCause{PausedAuth, PausedOutage, PausedThrottled, PausedKafka}

// LanePauseCause is why one lane sends no decisions for a while. Its text is the
// metric label.
type LanePauseCause string

// The causes of a lane's pause.
const (
	LanePausedOutage  LanePauseCause = "outage"  // the lane's calls keep failing; probes find out when they work again
	LanePausedRefused LanePauseCause = "refused" // the API refuses all of the lane's decisions
	LanePausedHeld    LanePauseCause = "held"    // an operator holds the lane
	LanePausedLedger  LanePauseCause = "ledger"  // the control topic can't be read, so it is not known what is held
)

// LanePauseCauses holds every cause of a lane's pause.
var LanePauseCauses = [...]LanePauseCause{LanePausedOutage, LanePausedRefused, LanePausedHeld, LanePausedLedger}

// RetryCause is why a decision is tried again. Its text is the metric label.
type RetryCause string

// The causes of a retry.
const (
	RetryTimeout     RetryCause = "timeout"      // no answer in time, or 408
	RetryConnection  RetryCause = "connection"   // the API was not reached, or the connection was cut
	RetryServerError RetryCause = "server_error" // 5xx, 421, 423, 425 or 499
	RetryForeign     RetryCause = "foreign"      // an answer that is not the API's: a redirect, a page, a 4xx without the API's errors
	RetryUnconfirmed RetryCause = "unconfirmed"  // 2xx without the wanted state
	RetryThrottled   RetryCause = "throttled"    // 429; does not count as an attempt
	RetryAuth        RetryCause = "auth"         // 401 or 403: the key is refused, or this task
	RetryRefused     RetryCause = "refused"      // another 4xx; it is dead-lettered if it is refused again while the API works
	RetryPanic       RetryCause = "panic"        // a fault in Verdict itself; the log has the stack
)

// RetryCauses holds every cause of a retry.
var RetryCauses = [...]RetryCause{
	RetryTimeout, RetryConnection, RetryServerError, RetryForeign, RetryUnconfirmed,
	RetryThrottled, RetryAuth, RetryRefused, RetryPanic,
}
