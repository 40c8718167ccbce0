package follow

import (
	"slices"

	"verdict/internal/decision"
)

// addDecision adds a record of a topic of decisions, if it is in the batch.
func (f *follower) addDecision(rec *decision.Record) {
	d, err := f.options.Decode(rec) // even an invalid decision may name its batch
	f.addDecoded(rec, &d, err)
}

// addDecoded is addDecision with what Decode makes of the record.
func (f *follower) addDecoded(rec *decision.Record, d *decision.Decision, err error) {
	place, ok := f.placeInBatch(rec, d)
	if !ok {
		return
	}
	fingerprint := decision.FingerprintOf(rec, d, err)
	from, named := decision.RedrivenFrom(rec)
	if _, claims := decision.RedrivenOrigin(rec); claims || named {
		f.claims = append(f.claims, claim{at: rec.Origin(), from: from, own: f.options.Runs == nil || f.ours(rec), line: place.Line, is: contentOf(rec), fingerprint: fingerprint})
		return
	}
	if f.everyRecord {
		place.Line = 0
	}
	f.tally.addRecord(rec.Origin(), place.Line, fingerprint)
}

// placeInBatch returns a record's place in the batch and reports whether it has one:
// by its headers, otherwise by its value.
func (f *follower) placeInBatch(rec *decision.Record, d *decision.Decision) (decision.BatchPlace, bool) {
	batch := f.options.BatchID
	place, ok := decision.BatchPlaceOf(rec.Headers)
	if f.options.Runs != nil && !f.wrote(rec, place.ID == batch) {
		if d.BatchID == batch || place.ID == batch {
			f.tally.set(rec.Origin(), excluded)
		}
		return place, false
	}
	if f.options.Runs != nil && place.ID != batch { // a run of a redrive
		return decision.BatchPlace{ID: batch}, true
	}
	if ok && place.ID == batch {
		if !f.inLedger {
			f.size = max(f.size, place.Size)
		}
		return place, true
	}
	if ok {
		f.others.add(place.ID)
		if d.BatchID == batch {
			f.tally.set(rec.Origin(), excluded) // its result will name this batch
		}
		return place, false
	}
	if d.BatchID != batch {
		f.others.add(d.BatchID)
		return place, false
	}
	return decision.BatchPlace{ID: d.BatchID}, true
}

// wrote reports whether one of the batch's runs wrote a record. A redriven copy that names
// the batch was written by another run.
func (f *follower) wrote(rec *decision.Record, named bool) bool {
	_, redriven := decision.RedrivenOrigin(rec)
	return redriven && named || f.ours(rec)
}

// ours reports whether a record names one of the batch's runs.
func (f *follower) ours(rec *decision.Record) bool {
	return slices.Contains(f.options.Runs, decision.RunOf(rec.Headers))
}

// addResult adds a record of the topic of results.
func (f *follower) addResult(rec *decision.Record) {
	r, err := decision.ParseResult(rec.Value)
	if err != nil || r.Origin.Topic == "" || r.Origin.Offset < 0 {
		return // not written by Verdict
	}
	f.addParsedResult(&r)
}

// addParsedResult adds a result, and reports whether it is of a decision of the batch.
func (f *follower) addParsedResult(r *decision.Result) bool {
	if r.BatchID == f.options.BatchID {
		f.addByEnd(r.Origin, r.Ended())
	}
	if !f.tally.endedBy(r.Origin, r.Ended()) {
		return false
	}
	f.tally.settle(r.Origin, resultStatus(r.Outcome))
	return f.tally.isOfMember(r.Origin)
}

// addDeadLetter adds a record of the topic of dead letters.
func (f *follower) addDeadLetter(rec *decision.Record) {
	l, err := decision.ParseDeadLetter(rec)
	if err != nil {
		return
	}
	d, err := f.options.Decode(&l.Original)
	f.addParsedDeadLetter(&l, &d, err)
}

// addParsedDeadLetter adds a dead letter, with what Decode makes of its record. It reports
// whether it is of a decision of the batch.
func (f *follower) addParsedDeadLetter(l *decision.DeadRecord, d *decision.Decision, err error) bool {
	origin, e := l.Original.Origin(), l.Ended(d, err)
	if !f.tally.knows(origin) {
		if _, ok := f.placeInBatch(&l.Original, d); ok {
			f.addByEnd(origin, e)
		}
	}
	if !f.tally.endedBy(origin, e) {
		return false
	}
	f.tally.settle(origin, deadStatus(l.Reason))
	return f.tally.isOfMember(origin)
}

// addByEnd adds a decision of the batch that is known only by its result or dead letter:
// retention deleted its record, or the record is in a format that is not read here.
func (f *follower) addByEnd(origin decision.Position, e decision.Ended) {
	if origin.Offset < f.options.Begin[origin.Topic][origin.Partition] {
		return // of a batch that had the same ID before
	}
	if !f.tally.knows(origin) && slices.Contains(f.options.Decisions, origin.Topic) {
		f.tally.addRecord(origin, 0, e.Fingerprint())
	}
}
