package follow

import "verdict/internal/decision"

// tally holds the status of each decision of one batch, and its fingerprint: five bytes
// for each offset, in pages that exist only where the batch has records, and a bit for
// each line. Ten million adjacent decisions take about 51 MB; redriven ones take about 200
// bytes more each.
//
// A decision is identified by its origin, the place of its first record. Its redriven
// copies are further records of it, and it has the status of the latest copy. The tally
// is pure: no lock, no Kafka.
type tally struct {
	pages    map[topicPartition]map[int64]*page
	lines    map[int64]*[linesPerPage / 64]uint64
	copies   map[decision.Position]redrivenCopy // by the copy's own place
	latest   map[decision.Position]int          // number of redrives of a decision that has copies
	members  int64                              // decisions of the batch
	counts   [statuses]int64                    // of members, by status
	repeated int64                              // records that repeat a line and are not redrives
}

type topicPartition struct {
	topic     string
	partition int
}

const (
	pageSize     = 4096
	linesPerPage = 4096
)

type page struct {
	statuses     [pageSize]status
	fingerprints [pageSize]decision.Fingerprint
}

// redrivenCopy says which decision a record is a copy of, and from which redrive.
type redrivenCopy struct {
	of          decision.Position
	redrives    int
	fingerprint decision.Fingerprint // of the copy
}

func newTally() *tally {
	return &tally{
		pages:  make(map[topicPartition]map[int64]*page),
		lines:  make(map[int64]*[linesPerPage / 64]uint64),
		copies: make(map[decision.Position]redrivenCopy),
		latest: make(map[decision.Position]int),
	}
}

// page returns the page of an offset. If it has none, page creates it or returns nil.
func (t *tally) page(o decision.Position, create bool) *page {
	key := topicPartition{o.Topic, o.Partition}
	pages := t.pages[key]
	if pages == nil {
		if !create {
			return nil
		}
		pages = make(map[int64]*page)
		t.pages[key] = pages
	}
	p := pages[o.Offset/pageSize]
	if p == nil {
		if !create {
			return nil
		}
		p = new(page)
		pages[o.Offset/pageSize] = p
	}
	return p
}

// statusOf returns the status of the decision with this origin.
func (t *tally) statusOf(o decision.Position) status {
	if p := t.page(o, false); p != nil {
		return p.statuses[o.Offset%pageSize] &^ reported
	}
	return unknown
}

// endedBy reports whether a result or dead letter that names the record at o is of the
// decision there, rather than of one that was there before its topic was made again.
func (t *tally) endedBy(o decision.Position, e decision.Ended) bool {
	if c, ok := t.copies[o]; ok {
		return c.fingerprint.Fits(e)
	}
	p := t.page(o, false)
	return p != nil && p.fingerprints[o.Offset%pageSize].Fits(e)
}

// knows reports whether the record at o was added, as a decision or a copy.
func (t *tally) knows(o decision.Position) bool {
	_, copied := t.copies[o]
	return copied || t.statusOf(o) != unknown
}

// isOfMember reports whether the record at o is of a decision of the batch.
func (t *tally) isOfMember(o decision.Position) bool {
	of, _ := t.decisionOf(o)
	return t.statusOf(of).isMember()
}

// set sets the status of the decision with this origin.
func (t *tally) set(o decision.Position, to status) {
	c := &t.page(o, true).statuses[o.Offset%pageSize]
	if was := *c &^ reported; was.isMember() {
		t.counts[was]--
		t.members--
	}
	if to.isMember() {
		t.counts[to]++
		t.members++
	}
	*c = to | *c&reported
}

// addRecord adds a record of the batch. line is its line in the batch; zero: it has
// none.
func (t *tally) addRecord(o decision.Position, line int64, fingerprint decision.Fingerprint) {
	if t.statusOf(o) != unknown {
		return
	}
	t.page(o, true).fingerprints[o.Offset%pageSize] = fingerprint
	if line > 0 && t.addLine(line) {
		t.repeated++
		t.set(o, excluded)
		return
	}
	t.set(o, unsettled)
}

// addCopy adds a redriven copy of a decision. That makes the decision unsettled, unless a
// later copy is known.
func (t *tally) addCopy(copied decision.Position, c redrivenCopy) {
	if _, ok := t.copies[copied]; ok {
		return
	}
	if t.statusOf(c.of) == excluded {
		t.set(copied, excluded)
		return
	}
	t.copies[copied] = c
	if c.redrives > t.latest[c.of] {
		t.latest[c.of] = c.redrives
		t.set(c.of, unsettled)
	}
}

// settle records how the record at o was settled, which counts for its decision unless a
// later copy is known. If a crash let one record be settled twice, a result takes
// precedence over a dead letter.
func (t *tally) settle(o decision.Position, to status) {
	of, latest := t.decisionOf(o)
	if !latest || !t.statusOf(of).isMember() {
		return
	}
	if was := t.statusOf(of); !was.isSettled() || was.isDead() && !to.isDead() {
		t.set(of, to)
	}
}

// decisionOf returns the origin of the decision that the record at o is of, and reports
// whether the record is its latest.
func (t *tally) decisionOf(o decision.Position) (of decision.Position, latest bool) {
	if c, ok := t.copies[o]; ok {
		return c.of, c.redrives >= t.latest[c.of]
	}
	return o, t.latest[o] == 0
}

// markReported marks a decision as reported. It reports whether the record at o, with
// status as, is the one that counts for the decision and was not reported before.
func (t *tally) markReported(o decision.Position, as status) bool {
	of, latest := t.decisionOf(o)
	if !latest {
		return false
	}
	p := t.page(of, false)
	if p == nil || p.statuses[of.Offset%pageSize] != as { // the bit reported makes them differ
		return false
	}
	p.statuses[of.Offset%pageSize] |= reported
	return true
}

// addLine adds a line, and reports whether it was added before.
func (t *tally) addLine(line int64) (before bool) {
	p := t.lines[line/linesPerPage]
	if p == nil {
		p = new([linesPerPage / 64]uint64)
		t.lines[line/linesPerPage] = p
	}
	word, bit := &p[line%linesPerPage/64], uint64(1)<<(line%64)
	before = *word&bit != 0
	*word |= bit
	return before
}

// settled returns the number of decisions with a result or a dead letter.
func (t *tally) settled() int64 { return t.members - t.counts[unsettled] }
