package service_test

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"verdict/internal/cli"
)

// TestMain lets the test binary be `verdict`, for tests that need a process.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"verdict": verdictMain})
}

// verdictMain is cmd/verdict's main with plain signal handling.
func verdictMain() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(cli.Execute(ctx, os.Args[1:], cli.Process{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Environ: os.Environ()}))
}

// environ returns a process's environment: the test's without the variables that
// begin with VERDICT_, and with more. Those that steer tests would be faults of the
// configuration.
func environ(more ...string) []string {
	ours := func(e string) bool { return strings.HasPrefix(e, "VERDICT_") }
	return append(slices.DeleteFunc(os.Environ(), ours), more...)
}

// raceEnabled reports whether the race detector is on.
func raceEnabled() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
