package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
)

// stops are the ends of what was acquired, run last-in first-out.
type stops []struct {
	name string
	stop func() error
}

func (s *stops) add(name string, stop func() error) {
	*s = append(*s, struct {
		name string
		stop func() error
	}{name, stop})
}

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

// background starts fn, and returns the stop that ends its context, waits for it
// and gives its error.
func background(fn func(context.Context) error) func() error {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var err error
	wg.Go(func() { err = fn(ctx) })
	return func() error {
		cancel()
		wg.Wait()
		return err
	}
}
