package rows

// Kind is what was found about a row.
type Kind string

// The kinds of findings.
const (
	// Invalid: the row is no decision, or contradicts another one.
	Invalid Kind = "invalid"
	// Superseded: a later row decides the same task otherwise, and the last one is
	// to win. The row is not sent.
	Superseded Kind = "superseded"
	// Duplicate: an earlier row says the same. The row is sent all the same, since
	// its sender may wait for its result.
	Duplicate Kind = "duplicate"
)

// Finding is something that was found about a row.
type Finding struct {
	File string // as it was named
	Line int    // in the file
	Kind Kind
	Text string
}
