// Command verdict completes PassFort tasks from decisions in Kafka. This package
// turns signals into a context and errors into an exit status; everything else is
// in internal/cli and below.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"verdict/internal/cli"
)

func main() {
	os.Exit(run())
}

// run returns the exit status. The first signal stops the command; a second one
// ends the process at once.
func run() int {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2) // room for both, even if they arrive before anyone receives
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // runs until the process ends
		cancel(fmt.Errorf("%v signal received", <-signals))
		endBy(<-signals)
	}()
	return cli.Execute(ctx, os.Args[1:], cli.Process{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Environ: os.Environ(),
	})
}

// endBy ends the process as the signal would if nothing handled it. Calling
// signal.Stop after the first signal instead would lose a second one that arrives
// in the moment before.
func endBy(s os.Signal) {
	signal.Reset(s)
	self, err := os.FindProcess(os.Getpid())
	if err != nil || self.Signal(s) != nil {
		os.Exit(cli.ExitFailed)
	}
}
