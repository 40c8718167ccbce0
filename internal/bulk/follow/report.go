package follow

import (
	"context"
	"encoding/csv"

	"verdict/internal/decision"
)

// report reads the topics again, up to where the last round ended. It writes a
// decision's row when it reads the record that settled the decision, and finds the
// unsettled decisions.
func (f *follower) report(ctx context.Context) error {
	o := &f.options
	if o.Report == nil && o.Result == nil && f.tally.counts[unsettled] == 0 {
		return nil
	}
	w := &reportWriter{tally: f.tally, decode: o.Decode, result: o.Result}
	if o.Report != nil {
		w.csv = csv.NewWriter(o.Report)
		w.write(reportHeader)
	}
	reread := func(topic string, each func(*decision.Record)) error {
		return f.reread(ctx, topic, func(rec *decision.Record) error {
			each(rec)
			return w.err
		})
	}
	if o.Report != nil || o.Result != nil {
		if err := reread(o.Results, w.writeResult); err != nil {
			return err
		}
	}
	if o.Report != nil {
		if err := reread(o.DeadLetters, w.writeDeadLetter); err != nil {
			return err
		}
	}
	for _, topic := range o.Decisions {
		err := reread(topic, func(rec *decision.Record) {
			waits := f.progress.waits(rec.Origin())
			open, ok := w.writeUnsettled(rec, waits)
			switch {
			case ok && waits:
				f.waiting++
			case ok && len(f.open) < MaxOpen:
				f.open = append(f.open, open)
			}
		})
		if err != nil {
			return err
		}
	}
	if w.csv != nil {
		w.csv.Flush()
		return w.csv.Error()
	}
	return nil
}

// reportWriter writes the rows of a report.
type reportWriter struct {
	decode func(*decision.Record) (decision.Decision, error)
	tally  *tally
	csv    *csv.Writer                  // nil: no report
	result func(*decision.Result) error // nil: not wanted
	err    error
}

func (w *reportWriter) write(row []string) {
	if w.csv != nil && w.err == nil {
		w.err = w.csv.Write(row)
	}
}

// writeResult writes a row for a result, if it is the one that counts.
func (w *reportWriter) writeResult(rec *decision.Record) {
	r, err := decision.ParseResult(rec.Value)
	if err != nil || r.Origin.Offset < 0 || !w.tally.endedBy(r.Origin, r.Ended()) || !w.tally.markReported(r.Origin, resultStatus(r.Outcome)) {
		return
	}
	if w.result != nil && w.err == nil {
		w.err = w.result(&r)
	}
	w.write(reportRow{
		id: r.DecisionID, profile: r.ProfileID, task: r.TaskID, state: string(r.State), outcome: string(r.Outcome),
		attempts: r.Attempts, status: r.HTTPStatus, reason: r.Reason, redrives: w.redrives(r.Origin), decided: r.DecidedAt,
		received: r.ReceivedAt.Time, settled: r.CompletedAt.Time, origin: r.Origin,
	}.fields())
}

// writeDeadLetter writes a row for a dead letter, if it is the one that counts.
func (w *reportWriter) writeDeadLetter(rec *decision.Record) {
	l, err := decision.ParseDeadLetter(rec)
	if err != nil {
		return
	}
	d, err := w.decode(&l.Original)
	if !w.tally.endedBy(l.Original.Origin(), l.Ended(&d, err)) || !w.tally.markReported(l.Original.Origin(), deadStatus(l.Reason)) {
		return
	}
	row := rowOf(&l.Original, &d)
	if row.id == "" {
		row.id = l.DecisionID
	}
	row.outcome, row.attempts, row.status, row.redrives = string(decision.DeadLettered), l.Attempts, l.HTTPStatus, l.Redrives
	row.reason, row.err = string(l.Reason), l.Error
	row.settled = l.FailedAt.Time
	w.write(row.fields())
}

// writeUnsettled writes a row for a record of a topic of decisions, if its decision is
// not settled and has no later copy.
func (w *reportWriter) writeUnsettled(rec *decision.Record, waits bool) (OpenDecision, bool) {
	if !w.tally.markReported(rec.Origin(), unsettled) {
		return OpenDecision{}, false
	}
	d, _ := w.decode(rec)
	row := rowOf(rec, &d)
	row.outcome, row.redrives = missingName, decision.Redrives(rec)
	if waits {
		row.outcome = waitingName
	}
	w.write(row.fields())
	return OpenDecision{ID: row.id, Line: row.line, Origin: row.origin}, true
}

// redrives returns how often the record at o had been redriven.
func (w *reportWriter) redrives(o decision.Position) int { return w.tally.copies[o].redrives }
