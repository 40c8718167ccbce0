package queue

import "verdict/internal/decision"

// Room bounds what is held in memory of each lane.
type Room struct {
	maxItems int
	maxBytes int64
	lanes    [len(decision.Lanes)]struct {
		items int
		bytes int64
	}
}

// NewRoom returns an empty Room for maxItems items, and maxBytes bytes of
// their records, in each lane.
func NewRoom(maxItems int, maxBytes int64) Room {
	return Room{maxItems: maxItems, maxBytes: maxBytes}
}

// Enter adds an item of this size to the count, if its lane has room. An empty
// lane takes any item, however large.
func (r *Room) Enter(lane decision.Lane, size int64) bool {
	l := &r.lanes[lane]
	if l.items > 0 && (l.items >= r.maxItems || l.bytes+size > r.maxBytes) {
		return false
	}
	l.items++
	l.bytes += size
	return true
}

// Leave removes an item from the count.
func (r *Room) Leave(lane decision.Lane, size int64) {
	l := &r.lanes[lane]
	l.items--
	l.bytes -= size
}

// Items returns how many items of a lane are held.
func (r *Room) Items(lane decision.Lane) int { return r.lanes[lane].items }

// Bytes returns how many bytes of a lane are held.
func (r *Room) Bytes(lane decision.Lane) int64 { return r.lanes[lane].bytes }
