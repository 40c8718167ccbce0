package remembered

import (
	"crypto/sha256"
	"encoding/binary"

	"verdict/internal/decision"
)

// Row stands for a row of a batch: the task as it is written, and the state. Two rows that
// are not the same have the same Row once in 2^64.
type Row uint64

// rowVersion begins what is hashed. It changes with what follows it.
const rowVersion = "verdict row 1"

// RowOf returns the Row of a valid decision.
func RowOf(d *decision.Decision) Row {
	b := make([]byte, 0, 256)
	for _, part := range []string{rowVersion, d.Task.ProfileID, d.Task.TaskID, d.Key.Alias, d.Key.Type, string(d.State)} {
		b = append(binary.AppendUvarint(b, uint64(len(part))), part...)
	}
	sum := sha256.Sum256(b)
	return Row(binary.BigEndian.Uint64(sum[:8]))
}
