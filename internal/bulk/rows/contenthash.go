package rows

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
)

// contentHash hashes the content of one file after another.
type contentHash struct {
	hash.Hash        // of the current file
	sums      []byte // of the files that ended
}

func newContentHash() *contentHash { return &contentHash{Hash: sha256.New()} }

func (c *contentHash) endFile() {
	c.sums = c.Sum(c.sums)
	c.Reset()
}

// sum returns the hash of the only file, or the hash of the files' hashes.
func (c *contentHash) sum() string {
	if len(c.sums) == sha256.Size {
		return hex.EncodeToString(c.sums)
	}
	sum := sha256.Sum256(c.sums)
	return hex.EncodeToString(sum[:])
}
