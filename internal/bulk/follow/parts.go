package follow

import (
	"context"

	"verdict/internal/decision"
)

// Part is a record of a decision of a batch: the decision itself, a redriven copy of it, or
// how one of them ended.
type Part struct {
	// Of is the first record of the decision, which is the same for all of its parts.
	Of     decision.Position
	Record *decision.Record
	// Decided is what Record says as a decision, Invalid why it is not one; Copy reports
	// that it was redriven.
	Decided *decision.Decision
	Invalid error
	Copy    bool
	// Result and Letter are how a record ended; nil where Record is a decision.
	Result *decision.Result
	Letter *decision.DeadRecord
}

// Parts calls each with every part of every decision of a batch, once, as far as the topics
// hold them now. It reads the topics twice: first what belongs to the batch, and then the
// parts, by topic and otherwise in no order. Unlike Follow, it takes a second record of a
// line for another decision.
//
// It returns the size that the records of the batch state, and the offsets at which
// reading ended, by topic and partition.
func Parts(ctx context.Context, o Options, each func(*Part) error) (size int64, readTo map[string]map[int]int64, err error) {
	f := newFollower(o)
	f.everyRecord = true
	if err := f.readRound(ctx, adders{f.addDecision, f.checkClaims, f.addResult, f.addDeadLetter}); err != nil {
		return 0, nil, err
	}
	if f.tally.members == 0 {
		return 0, nil, f.noBatch()
	}
	for _, topic := range o.Decisions {
		err := f.reread(ctx, topic, func(rec *decision.Record) error {
			of, _ := f.tally.decisionOf(rec.Origin())
			if !f.tally.statusOf(of).isMember() {
				return nil
			}
			d, invalid := f.options.Decode(rec)
			if of == rec.Origin() {
				// A copy may claim to be of a decision that is another's.
				if _, ok := f.placeInBatch(rec, &d); !ok {
					f.tally.set(of, excluded)
					return nil
				}
			}
			return each(&Part{Of: of, Record: rec, Decided: &d, Invalid: invalid, Copy: of != rec.Origin()})
		})
		if err != nil {
			return 0, nil, err
		}
	}
	end := func(e decision.Ended, origin decision.Position, p Part) error {
		p.Of, _ = f.tally.decisionOf(origin)
		if !f.tally.endedBy(origin, e) || !f.tally.statusOf(p.Of).isMember() {
			return nil
		}
		return each(&p)
	}
	err = f.reread(ctx, o.Results, func(rec *decision.Record) error {
		r, err := decision.ParseResult(rec.Value)
		if err != nil || r.Origin.Offset < 0 {
			return nil //nolint:nilerr // not written by Verdict
		}
		return end(r.Ended(), r.Origin, Part{Record: rec, Result: &r})
	})
	if err != nil {
		return 0, nil, err
	}
	err = f.reread(ctx, o.DeadLetters, func(rec *decision.Record) error {
		l, err := decision.ParseDeadLetter(rec)
		if err != nil {
			return nil //nolint:nilerr // not written by Verdict
		}
		d, err := f.options.Decode(&l.Original)
		return end(l.Ended(&d, err), l.Original.Origin(), Part{Record: rec, Letter: &l})
	})
	return f.size, f.readTo, err
}
