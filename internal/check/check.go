// Package check examines everything that `verdict run` needs: configuration,
// brokers, topics, rights, the consumer group, the backlog, the API key, clocks
// and the Schema Registry. It changes nothing: rights are tested with a
// partition and a group member that do not exist. Flags and printing are left to
// internal/cli; connections are made as `run` makes them, by internal/app.
package check

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"verdict/configs"
	"verdict/internal/app"
)

// Options say how the checks reach what they check.
type Options struct {
	Timeout time.Duration // bound of one check; required

	// How to reach Kafka, the API and the Schema Registry; nil: by TCP.
	DialKafka, DialAPI, DialSchemas app.DialFunc
}

// Run makes every check that is still possible with the faults of the
// configuration. It returns the findings, and the faults together with those of
// the files that the configuration names.
func Run(ctx context.Context, cfg configs.Config, faults configs.Faults, o Options) (Findings, configs.Faults) {
	kafka := &kafkaCheck{cfg: cfg, dial: o.DialKafka, timeout: o.Timeout}
	var key *app.Key
	if !concerns(faults, "kafka.") {
		connection, err := app.Connect(cfg.Kafka, o.DialKafka)
		faults = addFaults(faults, err)
		if connection != nil {
			defer connection.Close()
			kafka.connection = connection
		}
	}
	if !concerns(faults, "api.") {
		k, err := app.NewKey(cfg.API)
		faults = addFaults(faults, err)
		if err == nil {
			key = k
		}
	}

	var all Findings
	for _, f := range faults {
		at := configs.Fault{Key: f.Key, Wrong: f.Wrong, From: f.From}
		all.fail("config", at.Error(), f.Want)
	}
	if len(faults) == 0 {
		all.ok("config", "every key is valid")
	}
	checkLocal(&all, cfg)
	var ofKafka, ofAPI, ofRegistry Findings
	var checks sync.WaitGroup
	if kafka.connection != nil {
		checks.Go(func() { ofKafka = kafka.run(ctx) })
	} else {
		ofKafka.warn("kafka", "not checked, because its configuration is invalid", "correct the configuration first")
	}
	if key != nil {
		checks.Go(func() { ofAPI = checkAPI(ctx, cfg, key, o) })
	} else {
		ofAPI.warn("api", "not checked, because its configuration is invalid", "correct the configuration first")
	}
	if !concerns(faults, "decode.") {
		checks.Go(func() { ofRegistry = checkRegistry(ctx, cfg, o) })
	}
	checks.Wait()
	return slices.Concat(all, ofKafka, ofAPI, ofRegistry), faults
}

// concerns reports whether a fault is about the section, or about no section at
// all, such as a file that cannot be read.
func concerns(faults configs.Faults, section string) bool {
	for _, f := range faults {
		if strings.HasPrefix(f.Key, section) || !strings.Contains(f.Key, ".") {
			return true
		}
	}
	return false
}

// addFaults appends the faults in err.
func addFaults(faults configs.Faults, err error) configs.Faults {
	var more configs.Faults
	switch {
	case err == nil:
	case errors.As(err, &more):
		faults = append(faults, more...)
	default:
		faults = append(faults, &configs.Fault{Key: "configuration", Wrong: err.Error()})
	}
	return faults
}
