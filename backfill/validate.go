package backfill

import (
	"context"
	"io"
)

// Fault is what is wrong with a row.
type Fault struct {
	Line int
	ID   string // the decision's own; empty: not readable
	Err  error  // a *decision.Invalid
}

// Report is what Validate found.
type Report struct {
	Rows   int // all rows, valid or not
	Faulty int
	Faults []Fault // the first ones, by line
}

// Validate reads all rows that are left and decodes each as the service will. It
// keeps the first most faults, so that a file of nothing but faults costs no
// memory. The error is about reading on, never about a row; what was found before
// is in the Report.
func Validate(ctx context.Context, rows *Rows, most int) (Report, error) {
	var report Report
	for {
		if err := context.Cause(ctx); err != nil {
			return report, err
		}
		row, err := rows.Next()
		if err == io.EOF {
			return report, nil
		}
		if err != nil {
			return report, err
		}
		report.Rows++
		d, err := row.Decode()
		if err == nil {
			continue
		}
		report.Faulty++
		if len(report.Faults) < most {
			report.Faults = append(report.Faults, Fault{Line: row.Line, ID: d.ID, Err: err})
		}
	}
}
