package verify

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"verdict/internal/bulk/atomicfile"
)

// checkpoint says how far a run got.
type checkpoint struct {
	Batch  string  `json:"batch"`  // hash of what was verified, see batchHash
	Place  string  `json:"place"`  // hash of the last task, see hashOf
	Passed string  `json:"passed"` // hash of all that was expected up to there
	Counts Summary `json:"counts"` // up to there
	Report string  `json:"report,omitempty"`
	Size   int64   `json:"report_size,omitempty"` // of the report, up to there
}

// maxCheckpoint bounds the file in bytes.
const maxCheckpoint = 64 << 10

// batchHash returns a hash of what a checkpoint is about.
func (o *Options) batchHash() string {
	f := &o.Follow
	h := sha256.New()
	for _, part := range []string{o.Scope, f.BatchID, strings.Join(f.Decisions, " "), f.Results, f.DeadLetters, strings.Join(f.Runs, " ")} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// readCheckpoint reads the file of an interrupted run; nil: there is none.
func readCheckpoint(o *Options) (*checkpoint, error) {
	f, err := os.Open(o.Checkpoint)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the checkpoint: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxCheckpoint+1))
	if err != nil {
		return nil, fmt.Errorf("read the checkpoint: %w", err)
	}
	var c checkpoint
	if len(text) > maxCheckpoint || json.Unmarshal(text, &c) != nil || c.Batch == "" {
		return nil, fmt.Errorf("%s is not a checkpoint of verify; name another file with --checkpoint, or remove it", o.Checkpoint)
	}
	switch {
	case c.Batch != o.batchHash():
		return nil, fmt.Errorf("%s is the checkpoint of another batch, topic or API; name another file with --checkpoint, or remove it to begin again", o.Checkpoint)
	case c.Report != o.Report:
		return nil, fmt.Errorf("%s is the checkpoint of a run with another --report (%q); repeat that flag, or remove the file to begin again", o.Checkpoint, c.Report)
	}
	return &c, nil
}

// write replaces the file.
func (c *checkpoint) write(path string) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	err = atomicfile.Replace(path, func(f *os.File) error {
		_, err := f.Write(append(text, '\n'))
		return err
	})
	if err != nil {
		return fmt.Errorf("write the checkpoint: %w", err)
	}
	return nil
}
