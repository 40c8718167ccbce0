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

// RetryCause is why a decision is tried again. Its text is the metric label.
type RetryCause string

// The causes of a retry.
const (
	RetryTimeout     RetryCause = "timeout"      // no answer in time, or 408
	RetryConnection  RetryCause = "connection"   // the API was not reached, or the connection was cut
	RetryServerError RetryCause = "server_error" // 5xx
	RetryUnconfirmed RetryCause = "unconfirmed"  // 2xx without the wanted state
	RetryThrottled   RetryCause = "throttled"    // 429; does not count as an attempt
	RetryAuth        RetryCause = "auth"         // the key was refused; does not count as an attempt
	RetryPanic       RetryCause = "panic"        // a fault in Verdict itself; the log has the stack
)

// RetryCauses holds every cause of a retry.
var RetryCauses = [...]RetryCause{
	RetryTimeout, RetryConnection, RetryServerError, RetryUnconfirmed,
	RetryThrottled, RetryAuth, RetryPanic,
}
