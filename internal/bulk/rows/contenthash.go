package rows

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
)

// contentHash is the SHA-256 of files.
type contentHash struct {
	hash.Hash
	sums []byte
}

func newContentHash() *contentHash { return &contentHash{Hash: sha256.New()} }

func (c *contentHash) endFile() {
	c.sums = c.Sum(c.sums)
	c.Reset()
}

func (c *contentHash) sum() string {
	if len(c.sums) == sha256.Size {
		return hex.EncodeToString(c.sums)
	}
	sum := sha256.Sum256(c.sums)
	return hex.EncodeToString(sum[:])
}
