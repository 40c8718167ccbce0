package cli

import (
	"crypto/rand"
	"errors"
	"os"
	"os/user"
	"strings"

	"github.com/spf13/cobra"

	"verdict/configs"
	"verdict/internal/ledger"
	"verdict/internal/term"
)

// authorFlags are the flags by which a command that changes something says who does it, and
// why.
type authorFlags struct {
	actor, why string
	needsWhy   bool
}

// register gives a command the flags. With needsWhy it wants a reason: it asks for one on a
// terminal, and refuses to work without one elsewhere.
func (f *authorFlags) register(cmd *cobra.Command, needsWhy bool) {
	f.needsWhy = needsWhy
	need := ""
	if needsWhy {
		need = "; required, asked for on a terminal"
	}
	cmd.Flags().StringVar(&f.why, "why", "", "the reason in your words, recorded in the ledger (`TEXT`"+need+")")
	cmd.Flags().StringVar(&f.actor, "actor", "", "`NAME` of whoever does this, recorded in the ledger (default: $VERDICT_ACTOR, or else user@host)")
	completeValues(cmd, "why", nil)
	completeValues(cmd, "actor", nil)
}

// author returns who runs the command, and why.
func (f *authorFlags) author(cmd *cobra.Command, s Process) (ledger.Author, error) {
	a := ledger.Author{Actor: f.actor, Host: hostname(), Run: rand.Text(), Command: cmd.Name(), Why: strings.TrimSpace(f.why)}
	if a.Actor == "" {
		for _, pair := range s.Environ {
			if name, value, _ := strings.Cut(pair, "="); name == configs.ActorVar {
				a.Actor = value
			}
		}
	}
	if a.Actor == "" {
		name := "unknown"
		if u, err := user.Current(); err == nil && u.Username != "" {
			name = u.Username
		}
		a.Actor = name + "@" + a.Host
	}
	if a.Why == "" && f.needsWhy {
		if term.IsTerminal(s.In) {
			a.Why = term.Ask(s.In, s.Err, "Why? ")
		}
		if a.Why == "" {
			return a, &usageError{cmd.CommandPath(), errors.New(`it has to be known why; give the reason with --why "…"`)}
		}
	}
	return a, nil
}

// hostname names this machine.
func hostname() string {
	host, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return host
}
