// Package service tests the whole service: what goes into Kafka's topics, which calls
// the API gets, and what comes out, through faults, restarts and rebalances. There is
// no code here but the tests'.
//
// Most tests run in a world (world_test.go): a synctest bubble with an embedded Kafka,
// the sandbox API and as many instances of `run` and `decide` as the test starts. The
// bubble's clock makes minutes of outage cost milliseconds. What must hold whatever
// happens is in invariants_test.go.
//
// Other tests need real time and real sockets:
//   - secrets_test.go searches all output of every command for secrets;
//   - redrive_test.go and submit_test.go kill processes, and memory_test.go and
//     submit_memory_test.go measure them; the test binary is their `verdict`;
//   - secured_test.go needs a real Kafka (make test-kafka-secured), and
//     prometheus_test.go a real Prometheus (make test-prometheus);
//   - bench_test.go and livebench_test.go hold the benchmarks of make bench.
//
// Command lines are tested in internal/cli. Signals, sockets that fail and other tests
// of the built binary are in test/integration.
package service
