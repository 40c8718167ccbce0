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

	"verdict/internal/decision"
)

// CheckOptions say how the files of a batch are read and judged.
type CheckOptions struct {
	// Rows say how each file is read. Check itself sets BatchID, Before and Content.
	Rows Options
	// BatchID is the batch's ID, and every row's batch_id unless Rows.Set has one. Zero:
	// the ID is made from the content, and rows keep their own batch_id.
	BatchID string
	// LastWins sends only the last of several rows that ask for opposite states of one
	// task. Zero: all of them are invalid.
	LastWins bool
	// Override lets Rows.Set take the place of values that rows have. Zero: that is an
	// error.
	Override bool
	// SkipInvalid leaves invalid rows out of the batch. Zero: one invalid row means that
	// nothing is sent. Check only records it; the caller acts on it.
	SkipInvalid bool
	// MaxFindings is the number of findings of each kind to keep. Zero: none.
	MaxFindings int
	// TempDir is the folder for temporary files, which take 64 bytes per row. Zero: the
	// system's folder.
	TempDir string
	// Valid is called with each row that is valid on its own. Nil: not wanted.
	Valid func(d *decision.Decision)
	// Checked is called every 1,024 rows with the number of rows checked. Nil: not
	// wanted.
	Checked func(rows int64)
}

// Check reads all rows, decodes each as the service will, and finds how they relate to
// one another. It returns an error only for files that can't be read, never for
// a row. The caller closes the Batch, then the Input.
func Check(ctx context.Context, in *Input, o CheckOptions) (*Batch, error) {
	o.Rows.Set = maps.Clone(o.Rows.Set)
	given := sortedKeys(o.Rows.Set)
	o.Rows.TempDir = o.TempDir
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
	b := &Batch{in: in, options: o, given: given, relations: newRelations(o.TempDir, o.LastWins)}
	err := b.checkRows(ctx)
	if err == nil {
		err = b.relations.find()
	}
	if err == nil {
		err = b.countRelations()
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// checkRows checks each row on its own. The content is not known yet, so where the ID
// is made from it, a placeholder of the same length stands in.
func (b *Batch) checkRows(ctx context.Context) error {
	id := cmp.Or(b.options.BatchID, defaultID(strings.Repeat("0", 2*sha256.Size)))
	content := newContentHash()
	options := b.options.Rows
	options.BatchID, options.Content = id, content
	headers := largestHeaders(id)
	now := time.Now()
	b.files = make([]fileCounts, len(b.in.files))
	unmapped := slices.DeleteFunc(sortedKeys(options.Map), func(name string) bool { return options.Map[name] == "" })
	unused := sortedKeys(options.Values)
	kept := 0
	err := b.in.read(ctx, options, func(row *Row, at place) error {
		b.Rows++
		if b.options.Checked != nil && b.Rows%1024 == 0 {
			b.options.Checked(b.Rows)
		}
		if row.Blank {
			b.Blank++
			return nil
		}
		d, err := row.decode(headers)
		if err != nil {
			b.Invalid++
			if kept < b.options.MaxFindings {
				kept++
				b.addFinding(at, Invalid, err.Error())
			}
			return nil
		}
		if b.options.Valid != nil {
			b.options.Valid(&d)
		}
		if d.Expired(now) {
			b.Expired++
		}
		b.files[at.file()].send++
		return b.relations.add(at, &d)
	}, func(reader *Reader, f inputFile) error {
		content.endFile()
		b.files[b.ended].content = reader.content
		b.ended++
		of := ""
		if len(b.in.files) > 1 {
			of = f.name + ": "
		}
		set, err := b.overridden(reader)
		if err != nil {
			return fmt.Errorf("%s%w", of, err)
		}
		for _, w := range append(reader.Warnings(), set...) {
			b.Warnings = append(b.Warnings, of+w)
		}
		for _, h := range reader.Hints() {
			b.Hints = append(b.Hints, of+h)
		}
		unused = slices.DeleteFunc(unused, func(text string) bool { return reader.edit.valuesUsed[strings.ToLower(text)] })
		left := reader.unmapped()
		unmapped = slices.DeleteFunc(unmapped, func(name string) bool { return !slices.Contains(left, name) })
		return nil
	})
	if err != nil {
		return err
	}
	if len(unmapped) > 0 && b.Rows > 0 {
		return fmt.Errorf("map: no row has a member %s", list(unmapped))
	}
	if len(unused) > 0 && b.Rows > 0 {
		b.Warnings = append(b.Warnings, "values: no row says "+list(quoteAll(unused)))
	}
	b.Content = content.sum()
	b.ID = cmp.Or(b.options.BatchID, defaultID(b.Content))
	return b.in.checkUnchanged()
}

// countRelations counts the rows that relate to others, and keeps the first findings.
func (b *Batch) countRelations() error {
	found := b.relations.read()
	kept := make(map[Kind]int)
	for {
		at, ok := found.peek()
		if !ok {
			break
		}
		entries, err := found.take(at)
		if err != nil {
			return err
		}
		kind := relationOf(&entries[0]).kind()
		switch kind {
		case Invalid:
			b.Invalid++
			b.files[at.file()].send--
		case Superseded:
			b.Superseded++
		case Duplicate:
			b.Duplicates++
		case Blank: // is no relation
		}
		if kept[kind]++; kept[kind] <= b.options.MaxFindings {
			b.addFinding(at, kind, describe(entries, b.in))
		}
	}
	if found.err != nil {
		return found.err
	}
	b.keepFirstFindings()
	return nil
}

// overridden returns a warning for each field whose values Set replaced in a file, or
// the error that says so if it may not.
func (b *Batch) overridden(reader *Reader) (warnings []string, err error) {
	for _, field := range b.given {
		r := reader.edit.replaced[field]
		if r == nil {
			continue
		}
		flag := "--set " + shellQuote(field+"="+b.options.Rows.Set[field])
		if b.options.Override {
			warnings = append(warnings, fmt.Sprintf("%s replaced %d values of %s: %s", flag, r.total, reader.columnText(field), &r.tally))
			continue
		}
		instead := "leave out --set to send what the file says"
		if field == "state" {
			instead += ", or say what its words mean with --values"
		}
		return nil, fmt.Errorf("%s would replace %d values of %s, the first in %s %d: %s; %s; to replace them all, add --override",
			flag, r.total, reader.columnText(field), reader.unit(), r.first, &r.tally, instead)
	}
	return warnings, nil
}
