package rows

import (
	"context"
	"errors"

	"verdict/internal/decision"
)

// CheckedRow is a row with what Check found about it.
type CheckedRow struct {
	*Row
	// Decision is what the row says, if it is to be sent.
	Decision decision.Decision

	in    *Input
	place place
	kind  Kind   // of the finding; empty: none
	text  string // of the finding
	id    string // of the decision; empty: not readable, or none
}

// ToSend reports whether the row goes into the topic.
func (r *CheckedRow) ToSend() bool { return r.kind == "" || r.kind == Duplicate }

// Where returns the position of the row, for a message.
func (r *CheckedRow) Where() Position { return Position{r.in, r.place} }

// errChanged reports that a file is not the one that was checked.
var errChanged = errors.New("the input changed after it was checked")

// Each reads all rows again and calls each with every one of them, and with what was
// found about it. It decodes each row again, so that what is sent is what was decoded
// last.
func (b *Batch) Each(ctx context.Context, each func(*CheckedRow) error) error {
	content := newContentHash()
	options := b.options.Rows
	options.BatchID, options.Content = b.ID, content
	headers := largestHeaders(b.ID)
	found := b.relations.read()
	var read Batch // counts as b does
	err := b.in.read(ctx, options, func(row *Row, at place) error {
		r := CheckedRow{Row: row, in: b.in, place: at}
		read.Rows++
		if row.Blank {
			r.kind = Blank
			read.Blank++
			return each(&r)
		}
		d, err := row.decode(headers)
		r.Decision, r.id = d, d.ID
		if err != nil {
			r.kind, r.text = Invalid, err.Error()
		} else if next, ok := found.peek(); ok && next == at {
			entries, err := found.take(at)
			if err != nil {
				return err
			}
			r.kind, r.text = relationOf(&entries[0]).kind(), describe(entries, b.in)
		} else if ok && next < at {
			return errChanged
		}
		if !r.ToSend() {
			read.Invalid++ // whatever the reason
		}
		if read.Rows > b.Rows {
			return errChanged
		}
		return each(&r)
	}, func(*Reader, inputFile) error { content.endFile(); return nil })
	switch {
	case err != nil:
		return err
	case found.err != nil:
		return found.err
	case content.sum() != b.Content || read.Size() != b.Size():
		return errChanged
	}
	return nil
}
