// Package term formats what Verdict prints for people, and handles terminals:
// progress, numbers in tables, untrusted text on one line, and questions. What
// is printed, and the lines that scripts read, are left to internal/cli.
package term

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// IsTerminal reports whether a stream is a terminal.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Confirm asks a question and reports whether the answer is y or yes.
func Confirm(in io.Reader, out io.Writer, question string) bool {
	answer := strings.ToLower(Ask(in, out, question+" [y/N] "))
	return answer == "y" || answer == "yes"
}

// Ask prints a question and returns the line that is answered, without the spaces around it.
func Ask(in io.Reader, out io.Writer, question string) string {
	fmt.Fprint(out, question)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil {
		fmt.Fprintln(out) // end the line of the question
	}
	return strings.TrimSpace(answer)
}
