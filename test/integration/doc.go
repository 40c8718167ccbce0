// Package integration tests the built binary. It runs Verdict as processes that get
// signals and crash, over sockets that stall and break, against Kafka and the sandbox API.
// Tests belong here if they need a process, a signal, a socket or a real broker. Tests
// that can run on a fake clock belong into test/service.
//
// Kafka is the embedded one, or a real one that VERDICT_TEST_BROKERS names (see
// test/kafka). VERDICT_TEST_REGISTRY names a real Schema Registry (see test/registry). The
// package contains only tests.
package integration
