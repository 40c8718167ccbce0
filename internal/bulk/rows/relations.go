package rows

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"verdict/internal/decision"
)

// relations finds how rows stand to each other, in bounded memory: each row leaves
// an entry for its task and one for its ID, by hashes, and those that are sorted
// next to each other are about the same. 128 bits of SHA-256 don't meet by chance.
type relations struct {
	entries  spill
	group    spill // of one task or ID
	findings spill
	lastWins bool
}

// idEntry is set in the extra of entries for IDs. The other bits are a hash of the
// task. The extra of entries for tasks is the state: 0 pass, 1 fail.
const idEntry = 1 << 63

func (r *relations) close() {
	r.entries.close()
	r.group.close()
	r.findings.close()
}

// add takes a valid decision.
func (r *relations) add(at place, d *decision.Decision) error {
	text := make([]byte, 0, 128)
	text = append(append(append(text, "task "...), d.Task.ProfileID...), d.Task.TaskID...)
	if d.Task.TaskID == "" { // named by alias or type, in the row's own words
		text = fmt.Appendf(text, "%q %q", d.Key.Alias, d.Key.Type)
	}
	task := sha256.Sum256(text)
	if d.OwnID {
		id := hashEntry(sha256.Sum256(append([]byte("id "), d.ID...)), at)
		id.extra = idEntry | binary.BigEndian.Uint64(task[:8])>>1
		if err := r.entries.add(id); err != nil {
			return err
		}
	}
	e := hashEntry(task, at)
	if d.State == decision.CompletedFail {
		e.extra = 1
	}
	return r.entries.add(e)
}

func hashEntry(sum [sha256.Size]byte, at place) entry {
	return entry{key: [2]uint64{binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:16])}, place: at}
}

// find fills findings, when all rows were added.
func (r *relations) find() error {
	all := r.entries.merged()
	e, err := all.next()
	for err == nil {
		first := e
		r.group.reset()
		count := 0
		for ; err == nil && e.key == first.key; e, err = all.next() {
			if count++; count == 2 {
				if err := r.group.add(first); err != nil {
					return err
				}
			}
			if count > 1 {
				if err := r.group.add(e); err != nil {
					return err
				}
			}
		}
		if count > 1 {
			if err := r.relate(first.extra&idEntry != 0); err != nil {
				return err
			}
		}
	}
	r.entries.close()
	r.group.close()
	if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// relate finds how the rows of a group stand to each other.
func (r *relations) relate(ofID bool) error {
	var first, last entry
	var other *entry // the first one that differs from first
	err := r.each(func(e entry, i int) error {
		if i == 0 {
			first = e
		}
		if other == nil && e.extra != first.extra {
			other = &e
		}
		last = e
		return nil
	})
	if err != nil {
		return err
	}
	return r.each(func(e entry, i int) error {
		state, against := e.extra&1, first.place
		if other != nil && e.extra == first.extra {
			against = other.place
		}
		relation := sameTaskAndState
		switch {
		case other != nil && ofID:
			relation, state = sameIDOtherTask, 0
		case other != nil && r.lastWins:
			if e.place == last.place {
				return nil
			}
			relation, against = supersededByLater, last.place
		case other != nil:
			relation = oppositeState
		case i == 0:
			return nil
		case ofID:
			relation, state = sameDecision, 0
		}
		return r.findings.add(findingOf(e.place, relation, state, against))
	})
}

func (r *relations) each(f func(e entry, i int) error) error {
	m := r.group.merged()
	for i := 0; ; i++ {
		e, err := m.next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = f(e, i)
		}
		if err != nil {
			return err
		}
	}
}
