package health

import (
	"slices"
	"time"

	"verdict/internal/decision"
)

// A group is held when all its decisions are refused, those of at least guardProfiles
// profiles if it has so many. Every guardProbe one of its decisions is tried, of the
// next profile in turn. At most maxGroups groups are known; beyond that the one that
// was heard of least recently is forgotten, held ones last.
const (
	guardProfiles = 5
	guardProbe    = 30 * time.Second
	maxGroups     = 1000
)

// Group is what the guard judges together: a batch in a lane or, with an empty Batch,
// what has none.
type Group struct {
	Lane  decision.Lane
	Batch string
	Named bool // its decisions name the batch, and nothing shows that they are of it
}

// Guard holds a group when the last size different tasks of it were all dead-lettered
// for what the API answered, and none completed. While a group is held nothing of it
// is dead-lettered for that, and its decisions don't go, except for a probe; a
// completion ends that.
type Guard struct {
	size   int
	held   int // of the groups
	groups map[Group]*group
}

type group struct {
	profiles []string        // that it has, up to guardProfiles
	refused  []decision.Task // since the last completion, each once, up to Guard.size
	of       []string        // the profiles of the refused, up to guardProfiles
	doneAt   time.Time       // of the last completion
	heardOf  time.Time

	held    bool
	probeAt time.Time // when the next probe may go, while held
	probed  string    // the profile of the latest probe
}

// NewGuard returns a Guard; size 0: it never holds anything.
func NewGuard(size int) *Guard { return &Guard{size: size, groups: make(map[Group]*group)} }

// Arrives notes that a group has a decision of a profile.
func (g *Guard) Arrives(of Group, profile string, now time.Time) {
	if g.size == 0 {
		return
	}
	one := g.groups[of]
	if one == nil {
		if len(g.groups) >= maxGroups {
			g.forgetOne()
		}
		one = &group{}
		g.groups[of] = one
	}
	one.heardOf = now
	one.profiles = addOne(one.profiles, profile, guardProfiles)
}

// addOne adds an element that is not there yet, if there is room.
func addOne[T comparable](set []T, e T, most int) []T {
	if len(set) >= most || slices.Contains(set, e) {
		return set
	}
	return append(set, e)
}

func (g *Guard) forgetOne() {
	var least Group
	var found *group
	for of, one := range g.groups {
		if found == nil || found.held && !one.held || found.held == one.held && one.heardOf.Before(found.heardOf) {
			least, found = of, one
		}
	}
	if found.held {
		g.held--
	}
	delete(g.groups, least)
}

// Blames asks whether a decision of a group may be dead-lettered for what the API
// answered, and notes it. failedAt is when the decision failed first: what failed
// before the group's last completion says nothing about the group. holds reports
// that the group is held from now on.
func (g *Guard) Blames(of Group, task decision.Task, failedAt, now time.Time) (may, holds bool) {
	one := g.groups[of]
	switch {
	case one == nil:
		return true, false
	case one.held:
		return false, false
	case !failedAt.After(one.doneAt):
		return true, false
	}
	one.refused = addOne(one.refused, task, g.size)
	one.of = addOne(one.of, task.ProfileID, guardProfiles)
	if len(one.refused) < g.size || len(one.of) < len(one.profiles) {
		return true, false
	}
	g.held++
	one.held, one.probeAt, one.probed = true, now.Add(guardProbe), ""
	return true, true
}

// Completes notes that a decision of a group was carried out. It reports whether that
// ends a hold.
func (g *Guard) Completes(of Group, now time.Time) (ends bool) {
	one := g.groups[of]
	if one == nil {
		return false
	}
	if ends = one.held; ends {
		g.held--
	}
	one.held, one.doneAt = false, now
	one.refused, one.of = one.refused[:0], one.of[:0]
	return ends
}

// Held reports whether a group is held.
func (g *Guard) Held(of Group) bool {
	one := g.groups[of]
	return one != nil && one.held
}

// AnyHeld reports whether any group of a lane is held.
func (g *Guard) AnyHeld(lane decision.Lane) bool {
	for of, one := range g.groups {
		if of.Lane == lane && one.held {
			return true
		}
	}
	return false
}

// HeldBatches returns the batches of a lane that are held, in alphabetical order; the empty
// one is what has no batch, or merely names one.
func (g *Guard) HeldBatches(lane decision.Lane) (batches []string) {
	if g.held == 0 {
		return nil
	}
	for of, one := range g.groups {
		batch := of.Batch
		if of.Named {
			batch = ""
		}
		if of.Lane == lane && one.held && !slices.Contains(batches, batch) {
			batches = append(batches, batch)
		}
	}
	slices.Sort(batches)
	return batches
}

// Probe says which of the waiting decisions of a held group, given by their profiles,
// may go as its probe at now: one of the profile that follows the latest probe's. ok
// is false if it is not time yet, or none waits.
func (g *Guard) Probe(of Group, waiting []string, now time.Time) (profile string, ok bool) {
	one := g.groups[of]
	if one == nil || !one.held || now.Before(one.probeAt) {
		return "", false
	}
	if len(waiting) == 0 {
		one.probeAt = now.Add(time.Second)
		return "", false
	}
	first, next := waiting[0], ""
	for _, p := range waiting {
		first = min(first, p)
		if p > one.probed && (next == "" || p < next) {
			next = p
		}
	}
	if next == "" {
		next = first
	}
	one.probed, one.probeAt = next, now.Add(guardProbe)
	return next, true
}

// Due returns the held groups whose probe is due, and when that of the next one is;
// zero: no other group is held.
func (g *Guard) Due(now time.Time) (due []Group, next time.Time) {
	if g.held == 0 {
		return nil, time.Time{}
	}
	for of, one := range g.groups {
		switch {
		case !one.held:
		case !now.Before(one.probeAt):
			due = append(due, of)
		case next.IsZero() || one.probeAt.Before(next):
			next = one.probeAt
		}
	}
	return due, next
}
