package backfill

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"verdict/internal/decision"
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

// ValidBatchID says what is wrong with the ID of a batch, if anything.
func ValidBatchID(id string) error {
	bad := func(r rune) bool { return !unicode.IsPrint(r) || unicode.IsSpace(r) || r == utf8.RuneError }
	if id == "" || len(id) > decision.MaxBatchIDLength || strings.IndexFunc(id, bad) >= 0 {
		return fmt.Errorf("the ID of a batch has 1 to %d bytes of printable characters without spaces, is %s",
			decision.MaxBatchIDLength, short(id))
	}
	return nil
}

// Batch is what the files of an Input hold, checked.
type Batch struct {
	// ID is the batch's.
	ID string
	// Content is the SHA-256 of the files' content without compression, in
	// hexadecimal; of several files, that of their hashes.
	Content string
	// Rows is the number of all rows; Invalid, Superseded and Duplicates of those
	// that are so. A row is counted once, by the first of these.
	Rows, Invalid, Superseded, Duplicates int64
	// Expired is how many decisions to be sent are past their expires_at already.
	Expired int64
	// Warnings are about the files, each one line.
	Warnings []string
	// Findings are the first of each kind, by their place.
	Findings []Finding

	in        *Input
	o         CheckOptions
	relations *relations
}

// Size is the number of decisions to be sent.
func (b *Batch) Size() int64 { return b.Rows - b.Invalid - b.Superseded }

// Close lets temporary files go.
func (b *Batch) Close() { b.relations.close() }

// largest is the headers of a batch at their largest, so that a row that is valid
// here is so too with the headers it gets.
func largest(id string) []decision.Header {
	const most = 1e15 - 1
	return decision.BatchPlace{ID: id, Line: most, Size: most}.Headers()
}

// derivedID is the ID of a batch that is given none.
func derivedID(content string) string { return "sha256-" + content[:24] }

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
	}, func(rows *Rows, f inputFile) error {
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

func (b *Batch) finding(at place, kind Kind, text string) Finding {
	return Finding{File: b.in.files[at.file()].name, Line: at.line(), Kind: kind, Text: decision.OneLine(text, maxFindingText)}
}

// maxFindingText bounds the text of a finding, in bytes: a row can have a dozen
// faults, each of them bounded.
const maxFindingText = 2 << 10

// count counts the relations that were found and keeps the first.
func (b *Batch) count() error {
	found := newFindings(b.relations)
	kept := map[Kind]int{}
	for {
		at, ok := found.peek()
		if !ok {
			break
		}
		e, err := found.at(at)
		if err != nil {
			return err
		}
		kind := e[0].relation().kind()
		switch kind {
		case Invalid:
			b.Invalid++
		case Superseded:
			b.Superseded++
		default:
			b.Duplicates++
		}
		if kept[kind]++; kept[kind] <= b.o.MaxFindings {
			b.Findings = append(b.Findings, b.finding(at, kind, describe(e, b.in)))
		}
	}
	if found.err != nil {
		return found.err
	}
	b.keepFirst()
	return nil
}

// keepFirst brings the findings into the order of their places, of each kind no
// more than are wanted.
func (b *Batch) keepFirst() {
	file := make(map[string]int, len(b.in.files))
	for i, f := range b.in.files {
		file[f.name] = i
	}
	slices.SortStableFunc(b.Findings, func(x, y Finding) int {
		return cmp.Or(cmp.Compare(file[x.File], file[y.File]), cmp.Compare(x.Line, y.Line))
	})
	kept := map[Kind]int{}
	b.Findings = slices.DeleteFunc(b.Findings, func(f Finding) bool {
		kept[f.Kind]++
		return kept[f.Kind] > b.o.MaxFindings
	})
}

// describe is what was found about one row: of what makes it invalid all, else the
// first.
func describe(found []entry, in *Input) string {
	all := []string{found[0].text(in)}
	for i := 1; i < len(found) && found[i].relation().kind() == Invalid; i++ {
		all = append(all, found[i].text(in))
	}
	return strings.Join(all, "; ")
}

// checkedRow is a row with what was found about it.
type checkedRow struct {
	*Row
	at   place
	kind Kind // empty: nothing
	text string
	id   string // of the decision; empty: not readable
}

// sent says whether the row goes into the topic.
func (r *checkedRow) sent() bool { return r.kind == "" || r.kind == Duplicate }

// errChanged says that the files are not what they were when they were checked.
var errChanged = errors.New("the input was changed after it was checked")

// read gives every row again, with what was found. It decodes each again: what is
// sent is what was looked at last.
func (b *Batch) read(ctx context.Context, each func(*checkedRow) error) error {
	content := newContentHash()
	rows := b.o.Rows
	rows.BatchID, rows.Content = b.ID, content
	headers := largest(b.ID)
	found := newFindings(b.relations)
	var sum Batch
	err := b.in.read(ctx, rows, func(row *Row, at place) error {
		r := checkedRow{Row: row, at: at}
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
		if !r.sent() {
			sum.Invalid++
		}
		if sum.Rows > b.Rows {
			return errChanged
		}
		return each(&r)
	}, func(*Rows, inputFile) error { content.endFile(); return nil })
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

// decode decodes a row with these headers. It has no ID unless it has one of its
// own, or BatchID gave it one.
func (r *Row) decode(headers []decision.Header) (decision.Decision, error) {
	if r.Fault != "" {
		return r.Decode()
	}
	rec := r.Record("")
	rec.Headers = headers
	d, err := decision.Decode(&rec)
	if !d.OwnID {
		d.ID = ""
	}
	return d, err
}

// findings reads relations by their rows' places.
type findings struct {
	merge *merge
	now   entry
	row   []entry
	ok    bool
	err   error // never io.EOF
}

func newFindings(r *relations) *findings {
	f := &findings{merge: r.findings.merged()}
	f.move()
	return f
}

func (f *findings) move() {
	f.now, f.err = f.merge.next()
	f.ok = f.err == nil
	if f.err == io.EOF {
		f.err = nil
	}
}

// peek is the next row about which something was found.
func (f *findings) peek() (place, bool) { return f.now.place, f.ok }

// at is all about the row that peek told. It is good until the next call.
func (f *findings) at(p place) ([]entry, error) {
	f.row = f.row[:0]
	for f.ok && f.now.place == p {
		f.row = append(f.row, f.now)
		f.move()
	}
	return f.row, f.err
}

// contentHash is the SHA-256 of files.
type contentHash struct {
	hash.Hash
	sums []byte
}

func newContentHash() *contentHash { return &contentHash{Hash: sha256.New()} }

func (c *contentHash) endFile() {
	c.sums = c.Sum(c.sums)
	c.Reset()
}

func (c *contentHash) sum() string {
	if len(c.sums) == sha256.Size {
		return hex.EncodeToString(c.sums)
	}
	sum := sha256.Sum256(c.sums)
	return hex.EncodeToString(sum[:])
}
