package rows

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// CheckOptions say how the files of a batch are taken.
type CheckOptions struct {
	// Rows say how they are read; BatchID, Before and Content in it are Check's own.
	Rows Options
	// BatchID is the batch's ID, and then every row's batch_id, unless Rows.Set has
	// one. Zero: made from the files' content; rows keep a batch_id of their own.
	BatchID string
	// LastWins lets the last of several rows win that ask for opposite states of one
	// task; zero: each of them is invalid.
	LastWins bool
	// SkipInvalid leaves invalid rows out of the batch; zero: one of them means that
	// nothing is to be sent.
	SkipInvalid bool
	// MaxFindings is how many findings of each kind are kept. Zero: none.
	MaxFindings int
	// TempDir is where temporary files go, 64 bytes a row. Zero: the system's folder.
	TempDir string
	// Checked is told the number of rows so far, now and then. Nil: nobody asks.
	Checked func(rows int64)
}

// Check reads all rows, decodes each as the service will, and finds how they stand
// to each other. The error is about reading, never about a row. The caller closes
// the Batch, before the Input.
func Check(ctx context.Context, in *Input, o CheckOptions) (*Batch, error) {
	o.Rows.Set = maps.Clone(o.Rows.Set)
	if o.BatchID != "" {
		if err := ValidBatchID(o.BatchID); err != nil {
			return nil, err
		}
		if o.Rows.Set == nil {
			o.Rows.Set = make(map[string]string)
		}
		if _, ok := o.Rows.Set["batch_id"]; !ok {
			o.Rows.Set["batch_id"] = o.BatchID
		}
	}
	b := &Batch{in: in, o: o, relations: &relations{lastWins: o.LastWins}}
	b.relations.entries.dir, b.relations.group.dir, b.relations.findings.dir = o.TempDir, o.TempDir, o.TempDir
	err := b.readFirst(ctx)
	if err == nil {
		err = b.relations.find()
	}
	if err == nil {
		err = b.count()
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// readFirst reads the rows for the first time, when the content and so the ID may
// still be unknown: one of the same length stands for it.
func (b *Batch) readFirst(ctx context.Context) error {
	id := cmp.Or(b.o.BatchID, derivedID(strings.Repeat("0", 2*sha256.Size)))
	content := newContentHash()
	rows := b.o.Rows
	rows.BatchID, rows.Content = id, content
	headers := largest(id)
	now := time.Now()
	unmapped := sorted(rows.Map)
	kept := 0
	err := b.in.read(ctx, rows, func(row *Row, at place) error {
		b.Rows++
		if b.o.Checked != nil && b.Rows%1024 == 0 {
			b.o.Checked(b.Rows)
		}
		d, err := row.decode(headers)
		if err != nil {
			b.Invalid++
			if kept < b.o.MaxFindings {
				kept++
				b.Findings = append(b.Findings, b.finding(at, Invalid, err.Error()))
			}
			return nil
		}
		if d.Expired(now) {
			b.Expired++
		}
		return b.relations.add(at, &d)
	}, func(rows *Reader, f inputFile) error {
		content.endFile()
		for _, w := range rows.Warnings() {
			if len(b.in.files) > 1 {
				w = f.name + ": " + w
			}
			b.Warnings = append(b.Warnings, w)
		}
		left := rows.Unmapped()
		unmapped = slices.DeleteFunc(unmapped, func(name string) bool { return !slices.Contains(left, name) })
		return nil
	})
	if err != nil {
		return err
	}
	if len(unmapped) > 0 && b.Rows > 0 {
		return fmt.Errorf("map: no line has a member %s", list(unmapped))
	}
	b.Content = content.sum()
	b.ID = cmp.Or(b.o.BatchID, derivedID(b.Content))
	return b.in.unchanged()
}
