package rows

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"verdict/internal/bulk/spill"
	"verdict/internal/decision"
)

// relations finds how rows relate to one another, in bounded memory. Each row adds an
// entry for its task and one for its ID, keyed by 128 bits of their SHA-256, which do
// not collide by chance. Sorted, the entries of one task or ID lie next to each other.
type relations struct {
	entries  entries
	group    entries // the entries of one task or ID
	found    entries // the findings, see relationEntry
	lastWins bool
}

// idEntry marks, in the extra of an entry, that the entry is for an ID. The other bits
// are then a hash of the task. The extra of an entry for a task is the state: 0 for
// pass, 1 for fail.
const idEntry = 1 << 63

// newRelations returns relations that keep their temporary files in dir.
func newRelations(dir string, lastWins bool) *relations {
	in := func() entries { return entries{spill.Sorter{Dir: dir}} }
	return &relations{entries: in(), group: in(), found: in(), lastWins: lastWins}
}

func (r *relations) close() {
	r.entries.Close()
	r.group.Close()
	r.found.Close()
}

// add adds a row that is a valid decision.
func (r *relations) add(at place, d *decision.Decision) error {
	text := make([]byte, 0, 128)
	text = append(append(append(text, "task "...), d.Task.ProfileID...), d.Task.TaskID...)
	if d.Task.TaskID == "" { // named by alias or type, compared as written
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

// find relates the rows, once all are added.
func (r *relations) find() error {
	all := r.entries.merged()
	e, err := all.next()
	for err == nil {
		first := e
		r.group.Reset()
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
	r.entries.Close()
	r.group.Close()
	if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// relate relates the rows of the current group, which is of an ID or of a task.
func (r *relations) relate(ofID bool) error {
	var first, last entry
	var other *entry // the first one that differs from first
	err := r.eachOfGroup(func(e entry, i int) error {
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
	return r.eachOfGroup(func(e entry, i int) error {
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
		return r.found.add(relationEntry(e.place, relation, state, against))
	})
}

func (r *relations) eachOfGroup(f func(e entry, i int) error) error {
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

// read returns a reader of what find found.
func (r *relations) read() *findingReader {
	f := &findingReader{merge: r.found.merged()}
	f.advance()
	return f
}

// findingReader reads findings in the order of the rows.
type findingReader struct {
	merge *entryReader
	next  entry
	ok    bool    // there is a next entry
	row   []entry // of the row taken last
	err   error   // never io.EOF
}

func (f *findingReader) advance() {
	f.next, f.err = f.merge.next()
	f.ok = f.err == nil
	if f.err == io.EOF {
		f.err = nil
	}
}

// peek returns the next row that has a finding.
func (f *findingReader) peek() (place, bool) { return f.next.place, f.ok }

// take returns all findings about the row that peek returned. They are valid until the
// next call.
func (f *findingReader) take(p place) ([]entry, error) {
	f.row = f.row[:0]
	for f.ok && f.next.place == p {
		f.row = append(f.row, f.next)
		f.advance()
	}
	return f.row, f.err
}
