// Package service holds the tests of the whole service: what goes into Kafka's
// topics, what is called of the API, and what comes out, through faults,
// restarts and rebalances.
package service
