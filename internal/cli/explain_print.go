package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	bulkexplain "verdict/internal/bulk/explain"
	"verdict/internal/decision"
	"verdict/internal/term"
)

// writeEventsJSON prints each event as a JSON object on its own line.
func writeEventsJSON(out io.Writer, events []bulkexplain.Event) error {
	enc := json.NewEncoder(out)
	for _, e := range events {
		if err := enc.Encode(e); err != nil {
			return err
		}
	}
	return nil
}

// writeEvents prints events as a table: time, kind, place and details.
func writeEvents(out io.Writer, events []bulkexplain.Event) error {
	w := term.NewTable(out)
	for _, e := range events {
		kind := string(e.Kind)
		switch {
		case e.Kind == bulkexplain.EventSettled:
			kind = string(e.Outcome)
		case e.Kind == bulkexplain.EventCommand && e.Command != "":
			kind = e.Command
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", e.Time, decision.OneLine(kind, 64), decision.OneLine(e.Place.String(), 300), eventDetails(e))
	}
	return w.Flush()
}

// eventDetails formats what the other columns do not say.
func eventDetails(e bulkexplain.Event) string {
	var details []string
	add := func(format string, args ...any) { details = append(details, fmt.Sprintf(format, args...)) }
	if e.DecisionID != "" {
		add("decision %s", e.DecisionID)
	}
	switch e.Kind {
	case bulkexplain.EventSubmitted, bulkexplain.EventRedriven:
		if e.TaskID != "" {
			add("%s for %s/%s", e.State, e.ProfileID, e.TaskID)
		}
		if e.BatchID != "" && e.BatchLine > 0 {
			add("row %d of batch %s", e.BatchLine, e.BatchID)
		} else if e.BatchID != "" {
			add("batch %s", e.BatchID)
		}
		if e.Source != "" {
			add("source %s", e.Source)
		}
		if e.Why != "" {
			add("reason %q", e.Why)
		}
		if e.Redrives > 0 {
			add("redrive %d", e.Redrives)
		}
	case bulkexplain.EventSettled, bulkexplain.EventDeadLettered:
		if e.Kind == bulkexplain.EventDeadLettered {
			add("%s", e.Reason)
		}
		add("%s", term.Plural(e.Attempts, "attempt"))
		if e.HTTPStatus != 0 {
			add("HTTP %d", e.HTTPStatus)
		}
		if e.Error != "" {
			add("%s", e.Error)
		}
		add("of %s", e.Origin)
		if e.Dismissed {
			add("dismissed")
		}
	case bulkexplain.EventPending, bulkexplain.EventWaiting: // its note says how far away it is
		if e.Attempts > 0 {
			add("%s", term.Plural(e.Attempts, "attempt"))
		}
	case bulkexplain.EventCommand, bulkexplain.EventHeld, bulkexplain.EventCancelled, bulkexplain.EventRate:
		add("%s", e.Key)
		if !e.Since.IsZero() {
			add("since %s", e.Since)
		}
		if e.Actor != "" {
			add("by %s on %s", e.Actor, e.Host)
		}
		if e.Why != "" {
			add("reason %q", e.Why)
		}
	}
	if e.Note != "" {
		add("%s", e.Note)
	}
	return decision.OneLine(strings.Join(details, ", "), 4096) // a tab would start a column
}
