package follow

import (
	"slices"

	"verdict/internal/decision"
)

// submitted looks at a record of a topic of decisions.
func (f *follower) submitted(rec *decision.Record) {
	place, named := f.place(rec)
	if !named {
		return
	}
	if first, ok := decision.RedrivenOrigin(rec); ok {
		f.tally.redriven(rec.Origin(), redrivenCopy{of: first, redrives: max(decision.Redrives(rec), 1)})
		return
	}
	f.tally.submitted(rec.Origin(), place.Line)
}

// place is a record's place in the batch, if it is of it: by its headers, or else
// by its value.
func (f *follower) place(rec *decision.Record) (decision.BatchPlace, bool) {
	place, ok := decision.BatchPlaceOf(rec.Headers)
	if ok {
		if place.ID != f.o.BatchID {
			f.other(place.ID)
			if d, _ := decision.Decode(rec); d.BatchID == f.o.BatchID {
				f.tally.set(rec.Origin(), foreign) // its result will name this batch
			}
			return place, false
		}
		f.size = max(f.size, place.Size)
		return place, true
	}
	d, _ := decision.Decode(rec) // whatever its faults, it may name its batch
	if d.BatchID != f.o.BatchID {
		f.other(d.BatchID)
		return place, false
	}
	return decision.BatchPlace{ID: d.BatchID}, true
}

// result looks at a record of the topic of results.
func (f *follower) result(rec *decision.Record) {
	r, err := decision.ParseResult(rec.Value)
	if err != nil || r.Origin.Topic == "" || r.Origin.Offset < 0 {
		return // not ours to judge
	}
	if r.BatchID == f.o.BatchID {
		f.claim(r.Origin)
	}
	f.tally.fate(r.Origin, settledCode(r.Outcome))
}

// deadLetter looks at a record of the topic of dead letters.
func (f *follower) deadLetter(rec *decision.Record) {
	d, err := decision.ParseDeadLetter(rec)
	if err != nil {
		return
	}
	origin := d.Original.Origin()
	if f.tally.code(origin) == unknown {
		if _, copied := f.tally.copies[origin]; !copied {
			if _, named := f.place(&d.Original); named {
				f.claim(origin)
			}
		}
	}
	f.tally.fate(origin, deadCode(d.Reason))
}

// claim takes a decision in that is known by its end alone: retention has deleted
// its record, or it is in a form that was not understood here.
func (f *follower) claim(origin decision.Origin) {
	_, copied := f.tally.copies[origin]
	if !copied && f.tally.code(origin) == unknown && slices.Contains(f.o.Decisions, origin.Topic) {
		f.tally.set(origin, unsettled)
	}
}
