package rows

import (
	"context"
	"errors"
)

// CheckedRow is a row with what was found about it.
type CheckedRow struct {
	*Row
	in   *Input
	at   place
	kind Kind // empty: nothing
	text string
	id   string // of the decision; empty: not readable
}

// sent says whether the row goes into the topic.
func (r *CheckedRow) ToSend() bool { return r.kind == "" || r.kind == Duplicate }

// errChanged says that the files are not what they were when they were checked.
var errChanged = errors.New("the input was changed after it was checked")

// read gives every row again, with what was found. It decodes each again: what is
// sent is what was looked at last.
func (b *Batch) Each(ctx context.Context, each func(*CheckedRow) error) error {
	content := newContentHash()
	rows := b.o.Rows
	rows.BatchID, rows.Content = b.ID, content
	headers := largest(b.ID)
	found := newFindings(b.relations)
	var sum Batch
	err := b.in.read(ctx, rows, func(row *Row, at place) error {
		r := CheckedRow{Row: row, in: b.in, at: at}
		d, err := row.decode(headers)
		r.id = d.ID
		sum.Rows++
		if err != nil {
			r.kind, r.text = Invalid, err.Error()
		} else if next, ok := found.peek(); ok && next == at {
			e, err := found.at(at)
			if err != nil {
				return err
			}
			r.kind, r.text = e[0].relation().kind(), describe(e, b.in)
		} else if ok && next < at {
			return errChanged
		}
		if !r.ToSend() {
			sum.Invalid++
		}
		if sum.Rows > b.Rows {
			return errChanged
		}
		return each(&r)
	}, func(*Reader, inputFile) error { content.endFile(); return nil })
	switch {
	case err != nil:
		return err
	case found.err != nil:
		return found.err
	case content.sum() != b.Content || sum.Size() != b.Size():
		return errChanged
	}
	return nil
}
