package rows

import (
	"encoding/binary"

	"verdict/internal/bulk/spill"
)

// entry is what relations sort: by key, then by place.
type entry struct {
	key   [2]uint64
	place place
	extra uint64 // payload
}

const entrySize = 32

// entries sorts any number of entries in bounded memory.
type entries struct{ spill.Sorter }

// add adds an entry.
func (s *entries) add(e entry) error {
	var b [entrySize]byte
	binary.BigEndian.PutUint64(b[0:], e.key[0])
	binary.BigEndian.PutUint64(b[8:], e.key[1])
	binary.BigEndian.PutUint64(b[16:], uint64(e.place))
	binary.BigEndian.PutUint64(b[24:], e.extra)
	return s.Add(b[:])
}

// merged returns a reader of all entries in order.
func (s *entries) merged() *entryReader { return &entryReader{s.Sorted()} }

type entryReader struct{ sorted *spill.Reader }

// next returns the next entry, and io.EOF after the last.
func (r *entryReader) next() (entry, error) {
	b, err := r.sorted.Next()
	if err != nil {
		return entry{}, err
	}
	return entry{
		key:   [2]uint64{binary.BigEndian.Uint64(b[0:]), binary.BigEndian.Uint64(b[8:])},
		place: place(binary.BigEndian.Uint64(b[16:])),
		extra: binary.BigEndian.Uint64(b[24:]),
	}, nil
}
