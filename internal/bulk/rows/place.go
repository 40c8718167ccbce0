package rows

import "fmt"

// place is a row's file, from 0, and line, packed so that places sort in the order
// in which rows are read.
type place uint64

const (
	placeLineBits = 44
	maxFiles      = 1 << (64 - placeLineBits)
)

func placeOf(file, line int) place { return place(file)<<placeLineBits | place(line) }

func (p place) file() int { return int(p >> placeLineBits) }

func (p place) line() int { return int(p & (1<<placeLineBits - 1)) }

// Position is where a row is, for a message.
type Position struct {
	in    *Input
	place place
}

// String returns the line, or what else the file has, with the file's name where there
// are several files.
func (p Position) String() string {
	f := &p.in.files[p.place.file()]
	if len(p.in.files) == 1 {
		return fmt.Sprintf("%s %d", f.unit, p.place.line())
	}
	return fmt.Sprintf("%s %s %d", f.name, f.unit, p.place.line())
}
