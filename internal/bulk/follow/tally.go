package follow

import "verdict/internal/decision"

// tally is what is known of each decision of one batch: a byte for each offset
// between its records, in pages that exist only where the batch has any, and a bit
// for each of its lines. Ten million decisions that lie together take about 11 MB.
// Those that were redriven take about 200 bytes each beside.
//
// A decision is known by the place of its first record, its origin. A redriven
// copy is another record of it: its fate becomes the decision's, so that a
// decision counts by its latest fate. It is pure: no lock, no Kafka.
type tally struct {
	places  map[topicPartition]map[int64]*page
	lines   map[int64]*[linesPerPage / 64]uint64
	copies  map[decision.Origin]redrivenCopy // by the copy's own place
	latest  map[decision.Origin]int          // the number of redrives of a decision that has copies
	members int64
	counts  [codes]int64 // of members, by their code
	again   int64        // records of a line that was there already, and no redrive
}

type topicPartition struct {
	topic     string
	partition int
}

const (
	pageSize     = 4096
	linesPerPage = 4096
)

type page [pageSize]code

// redrivenCopy says which decision a record is a copy of, and by which redrive.
type redrivenCopy struct {
	of       decision.Origin
	redrives int
}

func newTally() *tally {
	return &tally{
		places: make(map[topicPartition]map[int64]*page),
		lines:  make(map[int64]*[linesPerPage / 64]uint64),
		copies: make(map[decision.Origin]redrivenCopy),
		latest: make(map[decision.Origin]int),
	}
}

// at is the cell of an offset; nil where it has none and none is to be made.
func (l *tally) at(o decision.Origin, create bool) *code {
	key := topicPartition{o.Topic, o.Partition}
	pages := l.places[key]
	if pages == nil {
		if !create {
			return nil
		}
		pages = make(map[int64]*page)
		l.places[key] = pages
	}
	p := pages[o.Offset/pageSize]
	if p == nil {
		if !create {
			return nil
		}
		p = new(page)
		pages[o.Offset/pageSize] = p
	}
	return &p[o.Offset%pageSize]
}

// code is what is known of the decision whose origin this is.
func (l *tally) code(o decision.Origin) code {
	if c := l.at(o, false); c != nil {
		return *c &^ reported
	}
	return unknown
}

func (l *tally) set(o decision.Origin, to code) {
	c := l.at(o, true)
	if was := *c &^ reported; was.member() {
		l.counts[was]--
		l.members--
	}
	if to.member() {
		l.counts[to]++
		l.members++
	}
	*c = to | *c&reported
}

// submitted notes a record of the batch; line is its line, 0 where it has none.
func (l *tally) submitted(o decision.Origin, line int64) {
	if l.code(o) != unknown {
		return
	}
	if line > 0 && l.noteLine(line) {
		l.again++
		l.set(o, foreign)
		return
	}
	l.set(o, unsettled)
}

// redriven notes a copy of a decision. The decision is unsettled again, unless a
// later copy is known.
func (l *tally) redriven(copied decision.Origin, c redrivenCopy) {
	if _, ok := l.copies[copied]; ok {
		return
	}
	if l.code(c.of) == foreign {
		l.set(copied, foreign)
		return
	}
	l.copies[copied] = c
	if c.redrives > l.latest[c.of] {
		l.latest[c.of] = c.redrives
		l.set(c.of, unsettled)
	}
}

// fate notes how the record at o ended. A copy's end is its decision's; an end
// before the latest redrive is none any more. Where one record ended twice, as a
// crash may bring about, a result counts before a dead letter.
func (l *tally) fate(o decision.Origin, to code) {
	of, current := l.current(o)
	if !current || !l.code(of).member() {
		return
	}
	if was := l.code(of); !was.settled() || was.dead() && !to.dead() {
		l.set(of, to)
	}
}

// current is the decision that the record at o is of, and whether no later copy
// of it is known.
func (l *tally) current(o decision.Origin) (of decision.Origin, is bool) {
	if c, ok := l.copies[o]; ok {
		return c.of, c.redrives >= l.latest[c.of]
	}
	return o, l.latest[o] == 0
}

// report says whether the end `as` of the record at o is the one that counts, and
// was not reported yet; from now on it is.
func (l *tally) report(o decision.Origin, as code) bool {
	of, current := l.current(o)
	if !current {
		return false
	}
	c := l.at(of, false)
	if c == nil || *c != as { // with the reported bit it is not equal
		return false
	}
	*c |= reported
	return true
}

// noteLine notes a line, and says whether it was noted before.
func (l *tally) noteLine(line int64) (before bool) {
	p := l.lines[line/linesPerPage]
	if p == nil {
		p = new([linesPerPage / 64]uint64)
		l.lines[line/linesPerPage] = p
	}
	word, bit := &p[line%linesPerPage/64], uint64(1)<<(line%64)
	before = *word&bit != 0
	*word |= bit
	return before
}

func (l *tally) settled() int64 { return l.members - l.counts[unsettled] }
