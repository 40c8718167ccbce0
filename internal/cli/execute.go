// Package cli is Verdict's command line: one file per command, with its flags, its
// help and what it prints.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"verdict/configs"
	"verdict/internal/term"
)

// Process is what a command line uses of the process that it runs in.
type Process struct {
	In       io.Reader
	Out, Err io.Writer
	Environ  []string // as os.Environ returns it
}

// Exit statuses.
const (
	ExitDone   = 0
	ExitFailed = 1
	ExitUsage  = 2
)

// execute runs one command line.
func Execute(ctx context.Context, args []string, s Process) int {
	root := rootCommand(s)
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return ExitDone
	}
	var usage *usageError
	var faults configs.Faults
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(s.Err, "verdict: %v\nTry: %s --help\n", err, usage.command)
		return ExitUsage
	case errors.As(err, &faults):
		fmt.Fprintf(s.Err, "verdict: the configuration has %s:\n%v\n", term.Plural(len(faults), "fault"), faults)
		return ExitUsage
	default:
		fmt.Fprintf(s.Err, "verdict: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
		return ExitFailed
	}
}

// usageError is a fault of the command line.
type usageError struct {
	command string
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }
