package cli

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/bulk/atomicfile"
	bulkfollow "verdict/internal/bulk/follow"
	bulkprove "verdict/internal/bulk/prove"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/term"
)

// proveOptions are the flags of `verdict prove`.
type proveOptions struct {
	author         authorFlags
	out            string
	unsigned       bool
	requireSettled bool
	check          string
	trustedKeys    string
}

func proveCommand(s Process) *cobra.Command {
	var o proveOptions
	cmd := &cobra.Command{
		Use:   "prove BATCH --out FILE | --check FILE",
		Short: "Make a signed evidence file of a batch, or check one",
		Long: `Prove writes what became of a batch to a file that an auditor can check without
Kafka: every decision with its results, dead letters and redrives, and the commands
that people gave about it. Each line has a hash of all lines before it, and the file
is signed with the key of control.sign_key_file. A name that ends in .gz is
compressed. The API's answers and the values of records are not in the file, only
hashes of them.

Decisions that are not settled yet are counted in the file and on standard error.

--check verifies a file: its hashes, order and counts, how each decision ended, and
its signature. It needs neither Kafka nor a configuration. Without --trusted-keys it
can't say whose key signed the file.`,
		Example: `  verdict prove spring-review --out spring-review.jsonl.gz --why "yearly audit"

  # Anywhere else
  verdict prove --check spring-review.jsonl.gz --trusted-keys trusted.keys`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.fault(args); err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			if o.check != "" {
				return checkEvidence(s, o)
			}
			author, err := o.author.author(cmd, s)
			if err != nil {
				return err
			}
			cfg, err := loadConfig(cmd, s, false)
			if err != nil {
				return err
			}
			return prove(cmd.Context(), s, cfg, args[0], author, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.out, "out", "", "write the evidence to this `FILE`; .gz compresses it")
	f.BoolVar(&o.unsigned, "unsigned", false, "write evidence that nobody signs")
	f.BoolVar(&o.requireSettled, "require-settled", false, "fail, and write nothing, if a decision is not settled")
	f.StringVar(&o.check, "check", "", "check this evidence `FILE` instead")
	f.StringVar(&o.trustedKeys, "trusted-keys", "", "`FILE` of actors and their public keys, as in control.trusted_keys_file; with --check")
	o.author.register(cmd, false)
	configFlags(cmd)
	return cmd
}

// fault returns what is wrong with the command line.
func (o *proveOptions) fault(args []string) error {
	switch {
	case o.check != "" && (len(args) > 0 || o.out != "" || o.unsigned || o.requireSettled):
		return errors.New("--check takes no BATCH, --out, --unsigned or --require-settled: everything is in the file")
	case o.check != "":
		return nil
	case o.trustedKeys != "":
		return errors.New("--trusted-keys is for --check; name the file to check with it")
	case len(args) != 1 || args[0] == "":
		return errors.New("wants the ID of a batch, or --check FILE")
	case o.out == "":
		return errors.New("--out is missing: name the file to write, such as --out " + args[0] + ".jsonl.gz")
	}
	return nil
}

// prove writes evidence of a batch.
func prove(ctx context.Context, s Process, cfg configs.Config, batch string, author ledger.Author, o proveOptions) (err error) {
	connection, err := app.Connect(cfg.Kafka, nil)
	if err != nil {
		return err
	}
	defer connection.Close()
	log := newLogger(s, cfg.Log)
	options := bulkprove.Options{
		BatchID: batch, Decisions: cfg.Kafka.Topics.Inputs(), Results: cfg.Kafka.Topics.Results, DeadLetters: cfg.Kafka.Topics.DeadLetters, Version: app.Build().Version,
		WentBack: func(ctx context.Context) (func(decision.Position) bool, error) {
			return wentBack(ctx, cfg, connection)
		},
		Refused: func(err error) { log.Warn("a record of the ledger counts for nothing", "err", err) },
	}
	if options.Ledger, err = app.Ledger(cfg, connection, author); err != nil {
		return err
	}
	options.Ledger.Retrying = logRetries(log)
	switch {
	case o.unsigned:
		options.Ledger.Sign = nil
	case options.Ledger.Sign == nil:
		return errors.New("there is no key to sign the evidence with; name one in control.sign_key_file, or write it with --unsigned")
	}
	reader, err := newRecordReader(ctx, cfg.Decode, log)
	if err != nil {
		return err
	}
	defer func() { err = reader.close(err) }()
	options.Decode = reader.read
	progress := term.NewProgress(s.Err)
	defer progress.Finish()
	options.Progress = func(sum bulkfollow.Summary) { progress.Set(term.Commas(sum.Read) + " records read") }
	evidence, err := bulkprove.Gather(ctx, options)
	if err != nil {
		return err
	}
	defer evidence.Close()
	unsettled := evidence.Manifest.Unsettled
	if unsettled > 0 && o.requireSettled {
		return fmt.Errorf("%s not settled; wait for the batch with verdict follow %s, or write the evidence without --require-settled", term.PluralIs(unsettled, "decision"), term.OneLine(batch))
	}
	written, err := writeEvidence(ctx, o.out, evidence, func(lines int64) { progress.Set(term.Commas(lines) + " lines written") })
	if err != nil {
		return fmt.Errorf("write --out %s: %w", o.out, err)
	}
	progress.Finish()
	if unsettled > 0 {
		fmt.Fprintf(s.Err, "%s not settled, and the evidence says so\n", term.PluralIs(unsettled, "decision"))
	}
	if n := written.Counts.Omitted; n > 0 {
		fmt.Fprintf(s.Err, "%s left out, since single decisions have too many\n", term.PluralIs(n, "result or dead letter"))
	}
	fmt.Fprintf(s.Out, "batch=%s decisions=%d dead_lettered=%d unsettled=%d commands=%d signed=%t hash=%s\n",
		term.OneLine(batch), written.Counts.Decisions, written.Counts.Outcomes["dead_lettered"], unsettled, written.Counts.Commands, written.Signed, written.Hash)
	return evidence.Record(ctx, filepath.Base(o.out), written)
}

// writeEvidence writes evidence to a file, which appears under its name only when it is complete.
func writeEvidence(ctx context.Context, path string, evidence *bulkprove.Evidence, progress func(int64)) (written bulkprove.Written, err error) {
	err = atomicfile.Replace(path, func(f *os.File) error {
		if !strings.HasSuffix(path, ".gz") {
			written, err = evidence.Write(ctx, f, progress)
			return err
		}
		z := gzip.NewWriter(f)
		written, err = evidence.Write(ctx, z, progress)
		return errors.Join(err, z.Close())
	})
	return written, err
}

// maxTrustedKeys bounds the file of trusted keys, in bytes.
const maxTrustedKeys = 1 << 20

// checkEvidence checks a file and prints what it says.
func checkEvidence(s Process, o proveOptions) error {
	var trusted ledger.Trusted
	if o.trustedKeys != "" {
		var err error
		if trusted, err = readTrustedKeys(o.trustedKeys); err != nil {
			return fmt.Errorf("--trusted-keys %s: %w", o.trustedKeys, err)
		}
	}
	f, err := os.Open(o.check)
	if err != nil {
		return err
	}
	defer f.Close()
	checked, err := checkFile(f)
	if err != nil {
		return fmt.Errorf("%s: %w", o.check, err)
	}
	actors := checked.SignedBy(trusted)
	if trusted != nil && checked.Key == nil {
		return fmt.Errorf("%s: it is not signed, so nobody in --trusted-keys stands for it", o.check)
	}
	if trusted != nil && len(actors) == 0 {
		return fmt.Errorf("%s: it is signed with a key that is not in --trusted-keys, of fingerprint %s", o.check, checked.Fingerprint())
	}
	return writeChecked(s, checked, actors)
}

// checkFile checks evidence, which may be compressed.
func checkFile(f io.ReadSeeker) (*bulkprove.Checked, error) {
	var magic [2]byte
	n, err := io.ReadFull(f, magic[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if string(magic[:n]) != "\x1f\x8b" {
		return bulkprove.Check(f)
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("open as gzip: %w", err)
	}
	return bulkprove.Check(z)
}

func readTrustedKeys(path string) (ledger.Trusted, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxTrustedKeys+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxTrustedKeys {
		return nil, fmt.Errorf("it has more than %d bytes", maxTrustedKeys)
	}
	return ledger.ParseTrusted(string(text))
}
