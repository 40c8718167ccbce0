package remembered

// Builder makes the filters of a batch, one after the other. It is for one goroutine.
type Builder struct {
	emit func(n int, f *Filter) error
	rows []uint64
	n    int // filters made
}

// NewBuilder returns a Builder that hands each filter, with its number in the batch from 0,
// to emit as soon as it is made.
func NewBuilder(emit func(n int, f *Filter) error) *Builder { return &Builder{emit: emit} }

// Add adds a row of the batch. A row may be added again.
func (b *Builder) Add(r Row) error {
	b.rows = append(b.rows, uint64(r))
	if len(b.rows) == MaxRows {
		return b.Flush()
	}
	return nil
}

// Flush makes a filter of the rows that are in none yet, if there are any.
func (b *Builder) Flush() error {
	if len(b.rows) == 0 {
		return nil
	}
	f, err := newFilter(b.rows)
	if err != nil {
		return err
	}
	b.rows = b.rows[:0]
	n := b.n
	b.n++
	return b.emit(n, f)
}
