package service_test

import (
	"context"
	"flag"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"verdict/internal/cli"
)

// TestMain lets the test binary be `verdict`, for tests that need a process.
func TestMain(m *testing.M) {
	// Some of the parallel tests wait for processes. Two more than the usual two on a
	// small machine keep its cores busy meanwhile.
	if err := flag.Set("test.parallel", strconv.Itoa(runtime.GOMAXPROCS(0)+2)); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){"verdict": verdictMain})
}

// verdictMain is cmd/verdict's main with plain signal handling.
func verdictMain() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := cli.Execute(ctx, os.Args[1:], cli.Process{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Environ: os.Environ()})
	stop()
	os.Exit(status)
}
