package follow

import (
	"context"
	"encoding/csv"

	"verdict/internal/decision"
)

// report goes through the topics once more, to the ends that the last look had,
// and writes a row for each decision as its end comes by; nothing of it has to be
// held in memory. On the way it finds the unsettled ones.
func (f *follower) report(ctx context.Context) error {
	if f.o.Report == nil && f.tally.counts[unsettled] == 0 {
		return nil
	}
	w := &reportWriter{tally: f.tally}
	if f.o.Report != nil {
		w.csv = csv.NewWriter(f.o.Report)
		w.write(reportHeader)
	}
	again := func(topic string, each func(*decision.Record)) error {
		return f.rescan(ctx, topic, f.at[topic], func(rec *decision.Record) error {
			each(rec)
			return w.err
		})
	}
	if f.o.Report != nil {
		if err := again(f.o.Results, w.result); err != nil {
			return err
		}
		if err := again(f.o.DeadLetters, w.deadLetter); err != nil {
			return err
		}
	}
	for _, topic := range f.o.Decisions {
		err := again(topic, func(rec *decision.Record) {
			if open, ok := w.unsettled(rec); ok && len(f.open) < MaxOpen {
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
	tally *tally
	csv   *csv.Writer // nil: no report is wanted
	err   error
}

func (w *reportWriter) write(row []string) {
	if w.csv != nil && w.err == nil {
		w.err = w.csv.Write(row)
	}
}

func (w *reportWriter) result(rec *decision.Record) {
	r, err := decision.ParseResult(rec.Value)
	if err != nil || r.Origin.Offset < 0 || !w.tally.report(r.Origin, settledCode(r.Outcome)) {
		return
	}
	w.write(reportRow{
		id: r.DecisionID, profile: r.ProfileID, task: r.TaskID, state: string(r.State), outcome: string(r.Outcome),
		attempts: r.Attempts, status: r.HTTPStatus, reason: r.Reason, redrives: w.redrives(r.Origin), decided: r.DecidedAt,
		received: r.ReceivedAt.Time, settled: r.CompletedAt.Time, origin: r.Origin,
	}.fields())
}

func (w *reportWriter) deadLetter(rec *decision.Record) {
	d, err := decision.ParseDeadLetter(rec)
	if err != nil || !w.tally.report(d.Original.Origin(), deadCode(d.Reason)) {
		return
	}
	row := rowOf(&d.Original)
	if row.id == "" {
		row.id = d.DecisionID
	}
	row.outcome, row.attempts, row.status, row.redrives = string(decision.DeadLettered), d.Attempts, d.HTTPStatus, d.Redrives
	row.reason, row.err = string(d.Reason), d.Error
	row.settled = d.FailedAt.Time
	w.write(row.fields())
}

// unsettled looks at a record of a topic of decisions, which is open if its decision
// is not settled and no later copy is to come.
func (w *reportWriter) unsettled(rec *decision.Record) (OpenDecision, bool) {
	if !w.tally.report(rec.Origin(), unsettled) {
		return OpenDecision{}, false
	}
	row := rowOf(rec)
	row.outcome, row.redrives = missingName, decision.Redrives(rec)
	w.write(row.fields())
	return OpenDecision{ID: row.id, Line: row.line, Origin: row.origin}, true
}

// redrives is how often the record at o had been redriven.
func (w *reportWriter) redrives(o decision.Origin) int { return w.tally.copies[o].redrives }
