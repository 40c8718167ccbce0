package app

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
)

func TestStopsRunInReverseAndJoinErrors(t *testing.T) {
	var s stops
	var ran []string
	first, third := errors.New("one"), errors.New("three")
	for _, part := range []struct {
		name string
		err  error
	}{{"a", first}, {"b", nil}, {"c", third}} {
		s.add(part.name, func() error { ran = append(ran, part.name); return part.err })
	}
	err := s.run(slog.New(slog.DiscardHandler))
	if want := []string{"c", "b", "a"}; !slices.Equal(ran, want) {
		t.Errorf("stopped %v, want %v", ran, want)
	}
	if !errors.Is(err, first) || !errors.Is(err, third) || err.Error() != "stop c: three\nstop a: one" {
		t.Errorf("error %q", err)
	}
}

func TestBackgroundStopWaitsAndReturnsTheError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed, ended := errors.New("failed"), false
		stop := background(func(ctx context.Context) error {
			<-ctx.Done()
			ended = true
			return failed
		})
		synctest.Wait()
		if ended {
			t.Error("ended before the stop")
		}
		if err := stop(); !ended || !errors.Is(err, failed) {
			t.Errorf("ended %v, error %v", ended, err)
		}
	})
}
