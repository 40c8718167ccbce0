package ledger

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"verdict/internal/decision"
)

// State is what the records of the control topic add up to for one group. It is a value
// with no lock and no clock.
type State struct {
	group   string
	trusted Trusted // nil: everybody is
	entries map[Key]placed
	// witnessed is what the latest signed command of a key follows, by the audit topic.
	witnessed map[Key]int64
}

// placed is an entry with the offset of its record, and what that follows.
type placed struct {
	Entry
	offset, previous int64
	signed           bool // by somebody, trusted or not
}

// next is what the key's next record is to follow: this one's offset. In a topic that was
// made again offsets begin anew, and it is what it would have been at least.
func (p placed) next() int64 { return max(p.offset, p.previous+1) }

// New returns the State of a group before the first record.
func New(group string, trusted Trusted) *State {
	return &State{group: group, trusted: trusted, entries: make(map[Key]placed), witnessed: make(map[Key]int64)}
}

// Refused says why a record of the control topic counts for nothing.
type Refused struct {
	Key    string
	Offset int64
	Why    error
}

// Error says so in one line.
func (r *Refused) Error() string {
	return fmt.Sprintf("the record of %s at offset %d of the control topic counts for nothing: %v", decision.OneLine(r.Key, 200), r.Offset, r.Why)
}

// Apply takes the next record of the control topic. It returns the key that the record
// changed, or why it changed nothing: a *Refused. A record of another group is no
// error.
func (s *State) Apply(rec *decision.Record) (changed Key, err error) {
	key, ok := ParseKey(s.group, string(rec.Key))
	if !ok {
		if strings.HasPrefix(string(rec.Key), groupPrefix(s.group)) {
			err = &Refused{Key: string(rec.Key), Offset: rec.Offset, Why: errors.New("this version of Verdict knows no such key")}
		}
		return Key{}, err
	}
	if rec.Value == nil {
		if key.Kind != KindInstance {
			return Key{}, &Refused{Key: string(rec.Key), Offset: rec.Offset, Why: errors.New("only an instance is removed from the ledger")}
		}
		delete(s.entries, key)
		return key, nil
	}
	e, err := decodeEntry(s.group, key, rec.Value)
	follows := int64(-1)
	if err == nil && s.trusted != nil && key.Kind != KindInstance {
		follows, err = s.follows(key, e.Actor, rec)
	}
	if err != nil {
		return Key{}, &Refused{Key: string(rec.Key), Offset: rec.Offset, Why: err}
	}
	s.entries[key] = placed{Entry: e, offset: rec.Offset, previous: follows, signed: isSigned(rec.Headers)}
	return key, nil
}

// follows returns which record of its key a signed record follows, or why it does not
// count. The record before it may have been compacted away.
func (s *State) follows(key Key, actor string, rec *decision.Record) (int64, error) {
	previous, err := s.trusted.verify(s.group, key, actor, rec.Value, rec.Headers)
	if err != nil {
		return 0, err
	}
	before, known := s.entries[key]
	at, witnessed := s.witnessed[key]
	fits := previous < rec.Offset
	switch {
	case known && before.offset >= 0:
		fits = previous == before.next()
	case witnessed: // what it follows was compacted away, or in a topic that was made again
		fits = previous >= at
	}
	if !fits {
		return 0, fmt.Errorf("it was signed to follow the record at offset %d and does not: it is a repetition, or somebody else was quicker", previous)
	}
	return previous, nil
}

// Witness takes a record of the audit topic. Those of signed commands are to be taken before
// any record of the control topic. What is no such record changes nothing.
func (s *State) Witness(rec *decision.Record) {
	if s.trusted == nil {
		return
	}
	act, err := DecodeAct(rec.Value)
	if err != nil || act.Entry == nil {
		return
	}
	key, ok := ParseKey(s.group, act.Key)
	if !ok {
		return
	}
	e, err := decodeEntry(s.group, key, act.Entry)
	if err != nil {
		return
	}
	previous, err := s.trusted.verify(s.group, key, e.Actor, act.Entry, rec.Headers)
	if at, known := s.witnessed[key]; err == nil && (!known || previous > at) {
		s.witnessed[key] = previous
	}
}

// Missing returns the keys of signed commands that the audit topic has and the control topic
// has no more.
func (s *State) Missing() (keys []Key) {
	for key, at := range s.witnessed {
		if e, known := s.entries[key]; !known || e.previous < at {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b Key) int { return strings.Compare(string(a.Kind)+a.Name, string(b.Kind)+b.Name) })
	return keys
}

// Previous returns what a key's next record is to be signed to follow: the offset of its
// record; -1: it has none.
func (s *State) Previous(key Key) int64 {
	if e, ok := s.entries[key]; ok && e.offset >= 0 {
		return e.next()
	}
	if at, ok := s.witnessed[key]; ok {
		return at + 1 // the record was removed
	}
	return -1
}

// Signed reports whether a key's record carries a signature. Where it does, one without would
// count for nothing where keys are trusted, and take its place when the topic is compacted.
func (s *State) Signed(key Key) bool { return s.entries[key].signed }

// Get returns what is known under a key.
func (s *State) Get(key Key) (Entry, bool) {
	e, ok := s.entries[key]
	return e.Entry, ok
}

// Of returns the keys of a kind and their entries, in the order of the keys.
func (s *State) Of(kind Kind) iter.Seq2[Key, Entry] {
	return func(yield func(Key, Entry) bool) {
		keys := slices.DeleteFunc(slices.Collect(maps.Keys(s.entries)), func(k Key) bool { return k.Kind != kind })
		slices.SortFunc(keys, func(a, b Key) int { return strings.Compare(a.Name, b.Name) })
		for _, k := range keys {
			if !yield(k, s.entries[k].Entry) {
				return
			}
		}
	}
}

// Batch returns a batch, and whether it is known.
func (s *State) Batch(id string) (Entry, bool) { return s.Get(BatchKey(id)) }

// Hold returns the hold under a key; none is one that does not hold.
func (s *State) Hold(key Key) Hold {
	if e, ok := s.entries[key]; ok && e.Hold != nil {
		return *e.Hold
	}
	return Hold{}
}

// Rate returns the group's rate at a time, 0 for the configured one, and until when it is
// known to hold; zero: until another record.
func (s *State) Rate(now time.Time) (perSecond float64, until time.Time) {
	e, ok := s.entries[RateKey()]
	if !ok || !e.Rate.Until.IsZero() && !now.Before(e.Rate.Until) {
		return 0, time.Time{}
	}
	return e.Rate.PerSecond, e.Rate.Until
}

// Empty reports whether nothing is known of the group.
func (s *State) Empty() bool { return len(s.entries) == 0 }

// Blank reports whether nothing is known of what people did in the group.
func (s *State) Blank() bool {
	for key := range s.entries {
		if key.Kind != KindInstance {
			return false
		}
	}
	return true
}

// Restart notes that the next record is the first of a control topic that was made again,
// perhaps with the audit topic, which is to be witnessed once more. What is known stays.
func (s *State) Restart() {
	clear(s.witnessed)
	for key, e := range s.entries {
		e.offset, e.previous = -1, -1
		s.entries[key] = e
	}
}
