// Package integration tests Verdict as it is run: the built binary as processes
// that get signals and die, between a Kafka and the sandbox API that live in the
// test or elsewhere, over sockets that stall and break. What can be shown on a
// fake clock is shown in cmd/verdict; here is what needs a process, a signal, a
// socket, or a real broker.
//
// The Kafka is the embedded one, or a real one that VERDICT_TEST_BROKERS names
// (see test/kafka). There is no code here but the tests'.
package integration
