package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	bulkverify "verdict/internal/bulk/verify"
	"verdict/internal/decision"
)

// differenceJSON is a line of verify --json.
type differenceJSON struct {
	ProfileID  string            `json:"profile_id"`
	TaskID     string            `json:"task_id"`
	Expected   decision.State    `json:"expected"`
	Found      string            `json:"found"`
	Detail     string            `json:"detail,omitempty"`
	DecisionID string            `json:"decision_id"`
	BatchLine  int64             `json:"batch_line,omitempty"`
	Origin     decision.Position `json:"origin"`
	CheckedAt  decision.Time     `json:"checked_at"`
}

// writeDifference prints the line of a task that differs.
func writeDifference(out io.Writer, d bulkverify.Difference, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(differenceJSON{
			ProfileID: d.Task.ProfileID, TaskID: d.Task.TaskID, Expected: d.Expected, Found: d.Found, Detail: d.Detail,
			DecisionID: d.DecisionID, BatchLine: d.Line, Origin: d.Origin, CheckedAt: decision.Time{Time: d.At},
		})
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s/%s expected=%s found=%s decision=%s", d.Task.ProfileID, d.Task.TaskID, d.Expected, word(d.Found), word(d.DecisionID))
	if d.Line > 0 {
		fmt.Fprintf(&b, " line=%d", d.Line)
	}
	if d.Detail != "" {
		fmt.Fprintf(&b, " detail=%s", word(d.Detail))
	}
	_, err := fmt.Fprintln(out, b.String())
	return err
}

// word returns text from outside as one word of a line: in quotes if it has spaces, quotes
// or characters that do not print.
func word(s string) string {
	if s == "" || strings.ContainsAny(s, " \"=") || strconv.Quote(s) != `"`+s+`"` {
		return strconv.Quote(s)
	}
	return s
}

// writeVerified prints the last line of verify.
func writeVerified(out io.Writer, s bulkverify.Summary, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(s)
	}
	_, err := fmt.Fprintf(out, "tasks=%d same=%d differ=%d gone=%d unreadable=%d unsettled=%d skipped=%d dead_lettered=%d calls=%d\n",
		s.Tasks, s.Same, s.Differ, s.Gone, s.Unreadable, s.Unsettled, s.Skipped, s.DeadLettered, s.Calls)
	return err
}
