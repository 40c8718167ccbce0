package follow

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"

	"verdict/internal/broker"
	"verdict/internal/decision"
)

// Anybody who can send decisions can write the headers of a redrive. So a record is the copy
// of a decision only if the dead letter that it names exists and is the letter of just that
// decision; the record of that letter may be a copy itself, and is looked at in the same
// way. A copy that was edited has another value than its letter: it is believed if the
// ledger says that the letter went back, and no better record says that it is that copy.

// claim is a record of the batch that says it is a redriven copy.
type claim struct {
	at          decision.Position // its place
	from        decision.Position // the dead letter that it names; zero: none
	own         bool              // it belongs to the batch even if it is no copy
	line        int64             // zero: it has none
	is          content
	fingerprint decision.Fingerprint
}

// content tells apart what records hold: the key, the place in a batch and the value; frame
// is that without the value.
type content struct{ whole, frame [16]byte }

func contentOf(rec *decision.Record) (c content) {
	h := sha256.New()
	part := func(b []byte) {
		_ = binary.Write(h, binary.BigEndian, int64(len(b)))
		h.Write(b)
	}
	part(rec.Key)
	if place, ok := decision.BatchPlaceOf(rec.Headers); ok {
		for _, header := range place.Headers() {
			part(header.Value)
		}
	}
	copy(c.frame[:], h.Sum(nil))
	part(rec.Value)
	copy(c.whole[:], h.Sum(nil))
	return c
}

// letter is a dead letter that a claim leads to.
type letter struct {
	of      decision.Position // its record
	is      content           // of its record
	claims  bool              // its record says that it is a copy itself
	from    decision.Position // of which letter
	claimed bool              // a record of the batch is its copy
}

// maxChain bounds how often a decision can have been redriven, for its copies to be known.
const maxChain = 32

// checkClaims adds the records that said they were copies since the last round, each as the
// copy of its decision or as a record of its own.
func (f *follower) checkClaims(ctx context.Context) error {
	claims := f.claims
	f.claims = nil
	if len(claims) == 0 {
		return nil
	}
	if err := f.readLetters(ctx, claims); err != nil {
		return err
	}
	wentBack, err := f.wentBack(ctx, claims)
	if err != nil {
		return err
	}
	// The unchanged copies first, then those where redrive sends them, then the others.
	rank := func(c claim) int {
		switch l := f.letters[c.from]; {
		case l == nil || l.is.whole == c.is.whole:
			return 0
		case l.of.Topic == c.at.Topic && l.of.Partition == c.at.Partition:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(claims, func(a, b claim) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.at.Offset, b.at.Offset))
	})
	var copies []claim
	for _, c := range claims {
		l := f.letters[c.from]
		unchanged := l != nil && l.is.whole == c.is.whole
		edited := l != nil && l.is.frame == c.is.frame && !l.claimed && wentBack(c.from)
		switch {
		case unchanged || edited:
		case c.own:
			if f.everyRecord {
				c.line = 0
			}
			f.tally.addRecord(c.at, c.line, c.fingerprint)
			continue
		default:
			f.tally.set(c.at, excluded)
			continue
		}
		l.claimed = true
		copies = append(copies, c)
	}
	for _, c := range copies { // they may be copies of what was added just now
		first, redrives := f.firstOf(f.letters[c.from], wentBack)
		f.tally.addCopy(c.at, redrivenCopy{of: first, redrives: redrives, fingerprint: c.fingerprint})
	}
	return nil
}

// firstOf returns the first record of the decision of a letter, and how often it has been
// redriven with a copy of that letter.
func (f *follower) firstOf(l *letter, wentBack func(decision.Position) bool) (first decision.Position, redrives int) {
	for redrives = 1; l.claims && redrives < maxChain; redrives++ {
		before := f.letters[l.from]
		if before == nil || before.is.whole != l.is.whole && (before.is.frame != l.is.frame || !wentBack(l.from)) {
			break
		}
		l = before
	}
	return l.of, redrives
}

// readLetters reads the letters that the claims lead to.
func (f *follower) readLetters(ctx context.Context, claims []claim) error {
	need := make(map[decision.Position]bool)
	for _, c := range claims {
		need[c.from] = true
	}
	bounds, err := f.bounds(ctx, f.options.DeadLetters) // as they are now: after the copies
	if err != nil {
		return err
	}
	for range maxChain {
		first, end := make(map[int]int64), make(map[int]int64)
		maps.DeleteFunc(need, func(at decision.Position, _ bool) bool {
			b := bounds[at.Partition]
			return at.Topic != f.options.DeadLetters || at.Offset < b.First || at.Offset >= b.End || f.letters[at] != nil
		})
		if len(need) == 0 {
			return nil
		}
		for at := range need {
			if from, ok := first[at.Partition]; !ok || at.Offset < from {
				first[at.Partition] = at.Offset
			}
			end[at.Partition] = max(end[at.Partition], at.Offset+1)
		}
		next := make(map[decision.Position]bool)
		err := f.options.Connection.Scan(ctx, broker.ScanOptions{
			Topic: f.options.DeadLetters, Partitions: slices.Collect(maps.Keys(first)), Offsets: first, Ends: end, Retrying: f.options.Retrying,
		}, func(rec decision.Record) error {
			d, err := decision.ParseDeadLetter(&rec)
			if err != nil || !need[rec.Origin()] {
				return nil
			}
			l := &letter{of: d.Original.Origin(), is: contentOf(&d.Original)}
			if l.from, l.claims = decision.RedrivenFrom(&d.Original); l.claims {
				next[l.from] = true
			}
			f.letters[rec.Origin()] = l
			return nil
		})
		if err != nil {
			return err
		}
		need = next
	}
	return nil
}

// wentBack returns what reports whether a letter went back, by the ledger. It reads the
// ledger only if one of the claims depends on that.
func (f *follower) wentBack(ctx context.Context, claims []claim) (func(decision.Position) bool, error) {
	depends := func(c claim) bool { l := f.letters[c.from]; return l != nil && (l.claims || l.is.whole != c.is.whole) }
	if f.options.WentBack == nil || !slices.ContainsFunc(claims, depends) {
		return func(decision.Position) bool { return true }, nil
	}
	return f.options.WentBack(ctx)
}
