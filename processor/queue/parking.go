package queue

import (
	"slices"
	"sort"

	"verdict/internal/decision"
)

// Parking keeps any one task from filling its lane: beyond share decisions of a task
// in memory, the next ones are parked, which means that only an entry of each is kept.
// When few enough are left in memory, entries are taken out again in their order, for
// the caller to read their records a second time.
//
// Decisions that name their task by alias or type may meet on any task of their
// profile. While a profile has such decisions, in memory or parked, they and all
// later ones of the profile in that lane form one line.
//
// What is held by people is parked too, with all that follows it in its line, however few
// they are; see Unload.
//
// These hold at any time:
//
//   - A line with an entry takes no decision past it: later ones are parked as well.
//   - A profile's line begins only when no task of the profile has entries.
//   - A line with entries and little in memory is in Next, unless its entries have
//     been taken and Returned was not called yet.
type Parking[E any] struct {
	share  int
	before func(a, b E) bool // a arrived before b
	waits  func(E) bool      // its turn has not come, even if its line has room
	lines  map[Line]*parkedLine[E]
	tasks  map[Line]int // by a profile's line: how many of the profile's tasks have entries
	ready  [len(decision.Lanes)][]Line
	parked [len(decision.Lanes)]int
}

// Line is what is parked together: the decisions on one task in a lane or, without a
// TaskID, those of a profile.
type Line struct {
	Lane decision.Lane
	Task decision.Task
}

func (l Line) isProfile() bool { return l.Task.TaskID == "" }

func (l Line) ofProfile() Line {
	return Line{l.Lane, decision.Task{ProfileID: l.Task.ProfileID}}
}

type parkedLine[E any] struct {
	held    int // in memory
	entries []E
	ready   bool // it is in Parking.ready
	taken   bool // entries are being read again
	counted bool // in Parking.tasks
}

// NewParking returns an empty Parking that lets each task have share decisions in memory.
// before reports whether one entry arrived before another, and waits whether an entry, and
// all behind it, is to stay; when its answers change, Recheck is to be called.
func NewParking[E any](share int, before func(a, b E) bool, waits func(E) bool) *Parking[E] {
	return &Parking[E]{share: share, before: before, waits: waits, lines: make(map[Line]*parkedLine[E]), tasks: make(map[Line]int)}
}

// Arrive says to which line a decision belongs, whose task has no TaskID if it is not
// known yet, and whether it has to be parked. If not, it counts as in memory, until
// Leave.
func (p *Parking[E]) Arrive(lane decision.Lane, task decision.Task) (of Line, park bool) {
	of = Line{lane, task}
	l := p.lines[of.ofProfile()]
	if l != nil {
		of = of.ofProfile()
	} else if l = p.lines[of]; l == nil {
		l = &parkedLine[E]{}
		p.lines[of] = l
	}
	if len(l.entries) > 0 || l.taken || l.held >= p.share || of.isProfile() && p.tasks[of] > 0 {
		return of, true
	}
	l.held++
	return of, false
}

// Park adds an entry to the end of a line that Arrive returned.
func (p *Parking[E]) Park(of Line, e E) {
	l := p.lines[of]
	l.entries = append(l.entries, e)
	p.parked[of.Lane]++
	p.arrange(of, l)
}

// Unload adds an entry of a decision that counts in memory to its line, at its place by
// arrival. The caller does the same with all that Follows it, and then calls Leave for each.
func (p *Parking[E]) Unload(of Line, e E) {
	l := p.lines[of]
	at := sort.Search(len(l.entries), func(n int) bool { return p.before(e, l.entries[n]) })
	l.entries = slices.Insert(l.entries, at, e)
	p.parked[of.Lane]++
	p.arrange(of, l)
}

// Follows reports whether something is parked that a decision in memory, of this line and
// with this entry, must not overtake.
func (p *Parking[E]) Follows(of Line, e E) bool {
	l := p.lines[of]
	return len(l.entries) > 0 && p.before(l.entries[0], e) || of.isProfile() && p.tasks[of] > 0
}

// Recheck makes the lines ready whose first entry has not to wait any more, in the order of
// those.
func (p *Parking[E]) Recheck() {
	var due []Line
	for of, l := range p.lines {
		if !l.ready && p.due(of, l) {
			due = append(due, of)
		}
	}
	slices.SortFunc(due, func(a, b Line) int {
		if p.before(p.lines[a].entries[0], p.lines[b].entries[0]) {
			return -1
		}
		return 1
	})
	for _, of := range due {
		p.arrange(of, p.lines[of])
	}
}

// Leave notes that a decision of a line is no longer in memory.
func (p *Parking[E]) Leave(of Line) {
	l := p.lines[of]
	l.held--
	p.arrange(of, l)
}

// arrange follows a change of a line: it makes the line ready if its entries can be
// taken, forgets it if it is empty, and lets its profile's line begin if that waited for it
// alone.
func (p *Parking[E]) arrange(of Line, l *parkedLine[E]) {
	if has := len(l.entries) > 0 || l.taken; has != l.counted && !of.isProfile() {
		l.counted = has
		p.count(of.ofProfile(), has)
	}
	switch {
	case len(l.entries) == 0 && l.held == 0 && !l.taken:
		delete(p.lines, of)
	case p.due(of, l) && !l.ready:
		l.ready = true
		p.ready[of.Lane] = append(p.ready[of.Lane], of)
	}
}

// count counts one more or one less of a profile's tasks that have entries.
func (p *Parking[E]) count(profile Line, more bool) {
	if more {
		p.tasks[profile]++
		return
	}
	if p.tasks[profile]--; p.tasks[profile] > 0 {
		return
	}
	delete(p.tasks, profile)
	if l := p.lines[profile]; l != nil {
		p.arrange(profile, l)
	}
}

// due reports whether entries of a line can be taken.
func (p *Parking[E]) due(of Line, l *parkedLine[E]) bool {
	return len(l.entries) > 0 && !l.taken && l.held <= p.share/2 && !p.waits(l.entries[0]) && (!of.isProfile() || p.tasks[of] == 0)
}

// Next takes the first entries of the lane's line that has been ready for longest, as many as
// it may have in memory. They count as in memory from now on. Until Returned the line
// is not ready again. ok is false if no line is ready.
func (p *Parking[E]) Next(lane decision.Lane) (of Line, entries []E, ok bool) {
	for len(p.ready[lane]) > 0 {
		of, p.ready[lane] = p.ready[lane][0], p.ready[lane][1:]
		l := p.lines[of]
		if l == nil || !l.ready { // it became empty, and perhaps another in its place
			continue
		}
		if l.ready = false; !p.due(of, l) {
			continue
		}
		n := 1
		for n < min(len(l.entries), p.share-l.held) && !p.waits(l.entries[n]) {
			n++
		}
		entries = slices.Clone(l.entries[:n])
		l.taken = true
		l.entries = slices.Delete(l.entries, 0, n)
		l.held += n
		p.parked[of.Lane] -= n
		return of, entries, true
	}
	return Line{}, nil, false
}

// Returned notes that the entries of the last Next of a line are in memory again, or
// gone.
func (p *Parking[E]) Returned(of Line) {
	l := p.lines[of]
	l.taken = false
	p.arrange(of, l)
}

// Remove takes out the entries that match.
func (p *Parking[E]) Remove(match func(E) bool) {
	for of, l := range p.lines {
		before := len(l.entries)
		if before == 0 {
			continue
		}
		l.entries = slices.DeleteFunc(l.entries, match)
		p.parked[of.Lane] -= before - len(l.entries)
		p.arrange(of, l)
	}
}

// Parked returns how many entries a lane has.
func (p *Parking[E]) Parked(lane decision.Lane) int { return p.parked[lane] }

// Empty reports whether nothing is known of any decision.
func (p *Parking[E]) Empty() bool { return len(p.lines) == 0 && len(p.tasks) == 0 }
