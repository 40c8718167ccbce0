package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
)

// stops are the named stops of the parts that were acquired, in that order.
type stops []namedStop

type namedStop struct {
	name string
	stop func() error
}

// add registers the stop of a part. The stop must bound itself.
func (s *stops) add(name string, stop func() error) {
	*s = append(*s, namedStop{name, stop})
}

// run runs every stop, the last one first, and joins their errors.
func (s stops) run(log *slog.Logger) error {
	var errs []error
	for _, part := range slices.Backward(s) {
		log.Debug("stopping", "part", part.name)
		if err := part.stop(); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", part.name, err))
		}
	}
	return errors.Join(errs...)
}

// background starts fn, and returns the stop that cancels its context, waits for it and
// returns its error.
func background(fn func(context.Context) error) func() error {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var err error // written by fn's goroutine until wg.Wait returns
	wg.Go(func() { err = fn(ctx) })
	return func() error {
		cancel()
		wg.Wait()
		return err
	}
}
