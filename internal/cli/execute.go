// Package cli is Verdict's command line: one file per command, with its flags,
// help and output. Standard output carries results only; logs, progress and
// errors go to standard error. What a command does is left to other packages:
// internal/app runs the services, internal/bulk moves batches and dead letters,
// internal/check makes the checks and internal/term formats text for people.
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

// Process is the part of the operating system's process that commands use.
type Process struct {
	In       io.Reader
	Out, Err io.Writer
	Environ  []string // in the form of os.Environ
}

// Exit statuses.
const (
	ExitDone   = 0
	ExitFailed = 1
	ExitUsage  = 2 // wrong command line or configuration
)

// Execute runs one command line and returns the exit status. It prints errors.
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

// usageError reports a wrong command line.
type usageError struct {
	command string // whose help explains what is right
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }
