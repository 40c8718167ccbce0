// Command verdict carries task decisions from Kafka out at the PassFort API.
// This package reads the command line and wires the others together; it leaves
// every piece of the work to them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"verdict/configs"
)

func main() {
	os.Exit(run())
}

// run is main with an exit status. Signals become a context here and nowhere
// else: the first asks for a stop, a second one ends the process at once.
func run() int {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2) // both, should they come before anybody looks
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // to the end of the process
		cancel(fmt.Errorf("%v signal received", <-signals))
		endBy(<-signals)
	}()
	return execute(ctx, os.Args[1:], surroundings{
		in: os.Stdin, out: os.Stdout, err: os.Stderr, environ: os.Environ(),
	})
}

// endBy ends the process as the signal does where nobody listens for it. To stop
// listening after the first would not do: a second one in the moment before would
// be nobody's.
func endBy(s os.Signal) {
	signal.Reset(s)
	self, err := os.FindProcess(os.Getpid())
	if err != nil || self.Signal(s) != nil {
		os.Exit(exitFailed)
	}
}

// surroundings is what a command has of the process it runs in.
type surroundings struct {
	in       io.Reader
	out, err io.Writer
	environ  []string
}

// Exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// execute runs one command line.
func execute(ctx context.Context, args []string, s surroundings) int {
	root := rootCommand(s)
	root.SetArgs(args)
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	var usage *usageError
	var faults configs.Faults
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(s.err, "verdict: %v\nTry: %s --help\n", err, usage.command)
		return exitUsage
	case errors.As(err, &faults):
		fmt.Fprintf(s.err, "verdict: the configuration has %s:\n%v\n", plural(len(faults), "fault"), faults)
		return exitUsage
	default:
		fmt.Fprintf(s.err, "verdict: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
		return exitFailed
	}
}

// usageError is a fault of the command line.
type usageError struct {
	command string
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return commas(int64(n)) + " " + word + "s"
}
