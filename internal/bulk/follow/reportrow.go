package follow

import (
	"strconv"
	"time"

	"verdict/internal/decision"
)

// reportHeader names the columns of a report. settled_at is when the outcome was known
// or the decision was dead-lettered; reason is the dead letter's or the decision's own;
// topic, partition and offset are those of the decision's latest record.
var reportHeader = []string{
	"id", "profile_id", "task_id", "state", "outcome", "attempts", "http_status", "reason", "error",
	"redrives", "decided_at", "received_at", "settled_at", "topic", "partition", "offset",
}

// These stand for the outcome of a decision that has none.
const (
	missingName = "missing"
	waitingName = "waiting"
)

// reportRow is a row of a report. Zero fields are empty in it, except attempts and
// redrives.
type reportRow struct {
	line                          int64
	id, profile, task, state      string
	outcome, reason, err, decided string
	attempts, status, redrives    int
	received, settled             time.Time
	origin                        decision.Position
}

// rowOf returns what a record says about its decision, valid or not.
func rowOf(rec *decision.Record, d *decision.Decision) reportRow {
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
