package backfill

import (
	"context"
	"encoding/csv"
	"strconv"
	"time"

	"verdict/internal/decision"
)

// reportHeader names the columns of a report. settled_at is when the outcome was
// known, or when the decision was dead-lettered; reason is the dead letter's, or
// the decision's own; topic, partition and offset are those of its last record.
var reportHeader = []string{
	"id", "profile_id", "task_id", "state", "outcome", "attempts", "http_status", "reason", "error",
	"redrives", "decided_at", "received_at", "settled_at", "topic", "partition", "offset",
}

// missingName is the outcome in a report of a decision that has none.
const missingName = "missing"

// report goes through the topics once more, to the ends that the last look had,
// and writes a row for each decision as its end comes by; nothing of it has to be
// held in memory. On the way it finds the unsettled ones.
func (f *follower) report(ctx context.Context) error {
	if f.o.Report == nil && f.ledger.counts[unsettled] == 0 {
		return nil
	}
	w := &reportWriter{ledger: f.ledger}
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
	ledger *ledger
	csv    *csv.Writer // nil: no report is wanted
	err    error
}

func (w *reportWriter) write(row []string) {
	if w.csv != nil && w.err == nil {
		w.err = w.csv.Write(row)
	}
}

func (w *reportWriter) result(rec *decision.Record) {
	r, err := decision.ParseResult(rec.Value)
	if err != nil || r.Origin.Offset < 0 || !w.ledger.report(r.Origin, settledCode(r.Outcome)) {
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
	if err != nil || !w.ledger.report(d.Original.Origin(), deadCode(d.Reason)) {
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
	if !w.ledger.report(rec.Origin(), unsettled) {
		return OpenDecision{}, false
	}
	row := rowOf(rec)
	row.outcome, row.redrives = missingName, decision.Redrives(rec)
	w.write(row.fields())
	return OpenDecision{ID: row.id, Line: row.line, Origin: row.origin}, true
}

// redrives is how often the record at o had been redriven.
func (w *reportWriter) redrives(o decision.Origin) int { return w.ledger.copies[o].redrives }

// reportRow is a row of a report; zero fields are left empty.
type reportRow struct {
	line                          int64
	id, profile, task, state      string
	outcome, reason, err, decided string
	attempts, status, redrives    int
	received, settled             time.Time
	origin                        decision.Origin
}

// rowOf is what a record says of its decision, whatever its faults.
func rowOf(rec *decision.Record) reportRow {
	d, _ := decision.Decode(rec)
	place, _ := decision.BatchPlaceOf(rec.Headers)
	return reportRow{
		line: place.Line, id: d.ID, profile: d.Task.ProfileID, task: d.Task.TaskID, state: string(d.State),
		decided: d.DecidedAt, origin: rec.Origin(),
	}
}

func (r reportRow) fields() []string {
	number := func(n int64) string {
		if n == 0 {
			return ""
		}
		return strconv.FormatInt(n, 10)
	}
	when := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return decision.Time{Time: t}.String()
	}
	return []string{
		r.id, r.profile, r.task, r.state, r.outcome, strconv.Itoa(r.attempts), number(int64(r.status)), r.reason, r.err,
		strconv.Itoa(r.redrives), r.decided, when(r.received), when(r.settled),
		r.origin.Topic, strconv.Itoa(r.origin.Partition), strconv.FormatInt(r.origin.Offset, 10),
	}
}
