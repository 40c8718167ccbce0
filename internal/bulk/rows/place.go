package rows

import "fmt"

// place is a row's file, from 0, in the upper bits, and its line in the lower
// ones. Rows are read in the order of their places.
type place uint64

const (
	placeLineBits = 44
	maxFiles      = 1 << (64 - placeLineBits)
)

func placeOf(file, line int) place { return place(file)<<placeLineBits | place(line) }

func (p place) file() int { return int(p >> placeLineBits) }

func (p place) line() int { return int(p & (1<<placeLineBits - 1)) }

// where is a place for people: the line, and the file where there are several.
func (in *Input) where(p place) string {
	if len(in.files) == 1 {
		return fmt.Sprintf("line %d", p.line())
	}
	return fmt.Sprintf("%s line %d", in.files[p.file()].name, p.line())
}

// Position says where a row is, for a message.
type Position struct {
	in *Input
	at place
}

// String returns the line, with the file's name where there are several files.
func (p Position) String() string { return p.in.where(p.at) }

// Position returns where the row is.
func (r *CheckedRow) Position() Position { return Position{r.in, r.at} }
