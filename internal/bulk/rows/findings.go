package rows

import "io"

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
