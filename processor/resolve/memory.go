package resolve

import "time"

// Life is how long a list may be used after it was asked for.
const Life = 5 * time.Second

// Bounds of Memory. A list over maxListing is shared by those that wait for it,
// and not remembered.
const (
	maxListings = 1000
	maxBytes    = 4 << 20   // of all lists, roughly
	maxListing  = 256 << 10 // of one list, roughly
	taskBytes   = 256       // of a task without its texts, roughly
)

// Memory remembers the latest lists, oldest first, within bounds of count, bytes
// and time.
type Memory struct {
	known map[string]*Listing // by profile
	order []remembered
	bytes int
}

type remembered struct {
	profileID string
	list      *Listing
}

// NewMemory returns an empty Memory.
func NewMemory() Memory { return Memory{known: make(map[string]*Listing)} }

// Remember keeps a list in place of the profile's last one.
func (m *Memory) Remember(profileID string, l *Listing, now time.Time) {
	if old := m.known[profileID]; old != nil {
		m.bytes -= old.size()
		delete(m.known, profileID)
	}
	size := l.size()
	if size <= maxListing {
		m.known[profileID] = l
		m.order = append(m.order, remembered{profileID, l})
		m.bytes += size
	}
	m.trim(now)
}

// Recall returns the profile's list if it was asked for at since or later, and
// is still fresh at now; nil otherwise.
func (m *Memory) Recall(profileID string, since, now time.Time) *Listing {
	if l := m.known[profileID]; l != nil && !l.At.Before(since) && now.Sub(l.At) < Life {
		return l
	}
	return nil
}

// trim forgets lists, oldest first, until the rest is fresh and small enough.
func (m *Memory) trim(now time.Time) {
	for len(m.order) > 0 {
		first := m.order[0]
		current := m.known[first.profileID] == first.list
		if current && now.Sub(first.list.At) < Life && len(m.order) <= maxListings && m.bytes <= maxBytes {
			return
		}
		m.order[0] = remembered{}
		m.order = m.order[1:]
		if current {
			m.bytes -= first.list.size()
			delete(m.known, first.profileID)
		}
	}
}

// size returns roughly how many bytes of memory the list holds.
func (l *Listing) size() int {
	n := 0
	for i := range l.tasks {
		t := &l.tasks[i]
		n += taskBytes + len(t.ID) + len(t.State) + len(t.Type) +
			len(t.Variant.ID) + len(t.Variant.Name) + len(t.Variant.Alias) + len(t.Variant.TaskType)
	}
	return n
}
