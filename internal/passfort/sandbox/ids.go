package sandbox

import (
	"encoding/binary"
	"encoding/hex"
)

// taskID holds the IDs of a task and its profile as bytes, which ignores case and keeps
// a million of them small.
type taskID struct{ profile, task [16]byte }

// hash returns a hash that depends on the seed.
func (id taskID) hash(seed uint64) uint64 {
	for _, half := range [...][16]byte{id.profile, id.task} {
		seed = mix(seed, binary.LittleEndian.Uint64(half[:8]))
		seed = mix(seed, binary.LittleEndian.Uint64(half[8:]))
	}
	return seed
}

// parseID parses 8-4-4-4-12 hexadecimal digits.
func parseID(s string) (id [16]byte, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, false
	}
	var digits [32]byte
	n := copy(digits[:], s[:8])
	n += copy(digits[n:], s[9:13])
	n += copy(digits[n:], s[14:18])
	n += copy(digits[n:], s[19:23])
	copy(digits[n:], s[24:])
	_, err := hex.Decode(id[:], digits[:])
	return id, err == nil
}

// appendID appends an ID in lower case.
func appendID(b []byte, id [16]byte) []byte {
	b = hex.AppendEncode(b, id[:4])
	b = hex.AppendEncode(append(b, '-'), id[4:6])
	b = hex.AppendEncode(append(b, '-'), id[6:8])
	b = hex.AppendEncode(append(b, '-'), id[8:10])
	return hex.AppendEncode(append(b, '-'), id[10:])
}

func formatID(id [16]byte) string { return string(appendID(nil, id)) }

func parseTask(profile, task string) (id taskID, ok bool) {
	var okProfile, okTask bool
	id.profile, okProfile = parseID(profile)
	id.task, okTask = parseID(task)
	return id, okProfile && okTask
}
