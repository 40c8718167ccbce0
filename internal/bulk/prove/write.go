package prove

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"verdict/internal/decision"
	"verdict/internal/ledger"
)

// Act is the command of the act that says that evidence was made.
const Act = "prove"

// Written says what was written.
type Written struct {
	Counts Counts
	Lines  int64
	Hash   string // the last line's, which covers the others'
	Signed bool
}

// Write writes the evidence, signed if Options.Ledger has a key. It calls progress now and
// then with the number of lines written; nil: no calls.
func (e *Evidence) Write(ctx context.Context, out io.Writer, progress func(lines int64)) (Written, error) {
	w := newLineWriter(out)
	if err := w.write(e.Manifest, nil); err != nil {
		return Written{}, err
	}
	counts := newCounter()
	counts.NotFound = e.notFound
	sorted := e.lines.Sorted()
	for {
		line, err := sorted.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return Written{}, err
		}
		if err := context.Cause(ctx); err != nil {
			return Written{}, err
		}
		var d Decision
		if err := json.Unmarshal(line[lineKeySize:], &d); err != nil {
			return Written{}, err
		}
		counts.add(&d)
		if err := w.writeContent(bytes.TrimSuffix(line[lineKeySize:], []byte("}")), nil); err != nil {
			return Written{}, err
		}
		if progress != nil && w.lines%10_000 == 0 {
			progress(w.lines)
		}
	}
	var err error
	if counts.Commands, err = e.commands.write(ctx, e, w); err != nil {
		return Written{}, err
	}
	sign := e.options.Ledger.Sign
	end := End{Type: typeEnd, Counts: counts.Counts, Lines: w.lines + 1, Signed: sign != nil}
	if sign != nil {
		public, ok := sign.Public().(ed25519.PublicKey)
		if !ok {
			return Written{}, errors.New("the key that signs is not an Ed25519 key")
		}
		end.PublicKey = base64.StdEncoding.EncodeToString(public)
	}
	if err := w.write(end, sign); err != nil {
		return Written{}, err
	}
	return Written{Counts: counts.Counts, Lines: w.lines, Hash: w.hash, Signed: end.Signed}, w.w.Flush()
}

// Record notes in the audit topic that the evidence was made. Where there is no such topic it
// does nothing.
func (e *Evidence) Record(ctx context.Context, file string, w Written) error {
	if e.commands.ends == nil {
		return nil
	}
	l := &e.options.Ledger
	act := ledger.Act{Key: ledger.BatchKey(e.options.BatchID).In(l.Group), At: e.Manifest.Made.At.Time, Author: l.Author, Details: map[string]string{
		"file": decision.OneLine(file, decision.MaxTextSize), "hash": w.Hash,
		"decisions": strconv.FormatInt(w.Counts.Decisions, 10), "signed": strconv.FormatBool(w.Signed),
	}}
	act.Command = Act
	value, err := act.Encode()
	if err != nil {
		return err
	}
	if _, err := l.Connection.Append(ctx, l.Audit, 0, []decision.Record{{Key: []byte(act.Key), Value: value}}); err != nil {
		return fmt.Errorf("note in the audit topic that the evidence was made: %w", err)
	}
	return nil
}
