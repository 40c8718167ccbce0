// Package app connects the parts of Verdict to the services that `verdict run` and
// `verdict decide` start. Run and Decide are each one straight function: it acquires
// one part after the other and registers the part's stop at once, consumes until its
// context ends, and runs the stops last-in first-out. Each stop bounds itself, so that
// nothing holds up the end of the process, and their errors are joined.
//
// What both services need is in service.go: metrics, the admin server, the connection to
// Kafka and the publisher. What they report about themselves is in ready.go and
// kafkahealth.go: whether they are ready, and whether Kafka answers.
//
// Commands that are not services share the pieces: Connect reaches Kafka as the services
// do, NewKey reads the API key, NewDecoder decodes the configured formats, PlanTopics
// and CreateTopics know which topics a configuration needs.
//
// Flags, help, exit statuses and printing are left to internal/cli. What happens to a
// decision is left to consumer, processor and internal/policy: app decides nothing
// about it.
package app
