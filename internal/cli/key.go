package cli

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"verdict/internal/term"
)

func keyCommand(s Process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make keys for signed commands",
		Long: `Where control.trusted_keys_file is set, instances obey only commands that one of the
actors in that file has signed. "verdict key new" makes an actor's pair of keys.`,
		Example: `  verdict key new --actor ann --out ann.key`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	cmd.AddCommand(keyNewCommand(s))
	return cmd
}

func keyNewCommand(s Process) *cobra.Command {
	var by authorFlags
	var out string
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Make an Ed25519 pair of keys",
		Long: `New writes a private key to a file that only you can read, and prints the line with the
public key for the file of trusted keys (control.trusted_keys_file). Name the file with
the private key in control.sign_key_file, where you give commands, and use the same
--actor, or set VERDICT_ACTOR.

A file that exists is never overwritten. A private key that is lost or stolen is
replaced: make another pair, and exchange the line.`,
		Example: `  verdict key new --actor ann --out ann.key >> trusted-keys`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			author, err := by.author(cmd, s)
			if err != nil {
				return err
			}
			switch {
			case out == "":
				return &usageError{cmd.CommandPath(), errors.New("--out: name the file for the private key")}
			case len(strings.Fields(author.Actor)) != 1 || author.Actor != strings.TrimSpace(author.Actor) || author.Actor[0] == '#':
				return &usageError{cmd.CommandPath(), fmt.Errorf("--actor: must be one word that does not begin with #, since the file of trusted keys has a line for it; is %q", author.Actor)}
			}
			public, private, err := ed25519.GenerateKey(nil)
			if err != nil {
				return err
			}
			if err := writePrivateKey(out, base64.StdEncoding.EncodeToString(private.Seed())+"\n"); err != nil {
				return err
			}
			fmt.Fprintf(s.Err, "%s has the private key of %s; the line below belongs into the file of control.trusted_keys_file\n", term.OneLine(out), term.OneLine(author.Actor))
			_, err = fmt.Fprintf(s.Out, "%s %s\n", author.Actor, base64.StdEncoding.EncodeToString(public))
			return err
		},
	}
	cmd.Flags().StringVar(&by.actor, "actor", "", "`NAME` of whose key it is (default: $VERDICT_ACTOR, or else user@host)")
	cmd.Flags().StringVar(&out, "out", "", "`FILE` for the private key; required")
	completeValues(cmd, "actor", nil)
	return cmd
}

// writePrivateKey writes a file that only its owner can read, and that was not there before.
func writePrivateKey(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("--out: %s exists and is not overwritten: the key in it may be in use", name)
	}
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("--out: %w", err), os.Remove(name))
	}
	return nil
}
