package processor

import (
	"fmt"
	"strings"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
)

// How long, and of how many profiles, lists of tasks are remembered. A list that
// takes more than maxListing is shared by those that wait for it, and not kept.
const (
	listingLife  = 5 * time.Second
	maxListings  = 1000
	maxRemember  = 4 << 20 // bytes, about
	maxListing   = 256 << 10
	listedTask   = 256 // bytes that a task takes beside its texts, about
	maxCandidate = 80  // bytes of one text in a message
)

// listing is what the API said of a profile's tasks.
type listing struct {
	at     time.Time // when it was asked for: it knows of nothing later
	status int
	tasks  []passfort.Task // without Raw, so that none keeps an answer's body alive
}

func newListing(at time.Time, status int, tasks []passfort.Task) *listing {
	for i := range tasks {
		tasks[i].Raw = nil
	}
	return &listing{at: at, status: status, tasks: tasks}
}

// size is about the memory that it holds, in bytes.
func (l *listing) size() int {
	n := 0
	for i := range l.tasks {
		t := &l.tasks[i]
		n += listedTask + len(t.ID) + len(t.State) + len(t.Type) +
			len(t.Variant.ID) + len(t.Variant.Name) + len(t.Variant.Alias) + len(t.Variant.TaskType)
	}
	return n
}

func matches(t *passfort.Task, k decision.Key) bool {
	if k.Alias != "" {
		return t.Variant.Alias == k.Alias
	}
	return t.Type == k.Type
}

// find is the ID of the one live task that the key names, or why there is none.
// A task is live while it is not expired; skipped and completed ones are live.
func (l *listing) find(k decision.Key) (taskID string, no *deadLetter) {
	var found []*passfort.Task
	expired := 0
	seen := make(map[string]bool)
	for i := range l.tasks {
		t := &l.tasks[i]
		id := strings.ToLower(t.ID)
		switch {
		case !matches(t, k) || seen[id]:
		case t.IsExpired:
			expired++
		default:
			seen[id] = true
			found = append(found, t)
		}
	}
	switch {
	case len(found) == 1:
		return strings.ToLower(found[0].ID), nil
	case len(found) > 1:
		return "", &deadLetter{reason: decision.TaskAmbiguous, status: l.status,
			text: fmt.Sprintf("the profile has %d live tasks of %s; name one by task_id: %s", len(found), k, candidates(found))}
	}
	text := fmt.Sprintf("the profile has no live task of %s", k)
	if expired > 0 {
		text += fmt.Sprintf(", only expired ones (%d)", expired)
	}
	var live []*passfort.Task
	for i := range l.tasks {
		if !l.tasks[i].IsExpired {
			live = append(live, &l.tasks[i])
		}
	}
	if len(live) > 0 {
		text += "; it has " + candidates(live)
	}
	return "", &deadLetter{reason: decision.TaskNotFound, status: l.status, text: text}
}

// outcome is what the tasks of a profile came to. Expired and skipped ones count
// for nothing. A state that is not known counts as open, so that nobody takes the
// profile for passed.
func (l *listing) outcome() *decision.Profile {
	var out decision.Profile
	passed := 0
	for i := range l.tasks {
		switch t := &l.tasks[i]; {
		case t.IsExpired || t.IsSkipped:
		case t.State == decision.CompletedPass:
			passed++
		case t.State == decision.CompletedFail:
			out.FailedTasks++
		default:
			out.OpenTasks++
		}
	}
	switch {
	case out.FailedTasks > 0:
		out.Outcome = decision.SomeFailed
	case out.OpenTasks > 0 || passed == 0:
		out.Outcome = decision.Open
	default:
		out.Outcome = decision.AllPassed
	}
	return &out
}

// ofVariant is the profile's tasks whose variant has this ID; live ones alone,
// if there are any.
func (l *listing) ofVariant(id string) (live []*passfort.Task) {
	var expired []*passfort.Task
	for i := range l.tasks {
		switch t := &l.tasks[i]; {
		case !strings.EqualFold(t.Variant.ID, id):
		case t.IsExpired:
			expired = append(expired, t)
		default:
			live = append(live, t)
		}
	}
	if len(live) == 0 {
		return expired
	}
	return live
}

// candidates names tasks for a message, until it would not fit an error header.
func candidates(tasks []*passfort.Task) string {
	var b strings.Builder
	for i, t := range tasks {
		one := fmt.Sprintf("%s (%s", t.ID, decision.OneLine(t.Type, maxCandidate))
		if t.Variant.Alias != "" {
			one += ", alias " + fmt.Sprintf("%q", decision.OneLine(t.Variant.Alias, maxCandidate))
		}
		one += ", " + decision.OneLine(string(t.State), maxCandidate) + ")"
		if b.Len()+len(one) > decision.MaxErrorSize*2/3 {
			fmt.Fprintf(&b, " and %d more", len(tasks)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(one)
	}
	return b.String()
}

// listings remembers the last lists, oldest first, within bounds of count, bytes
// and time. It is pure: no lock, no clock.
type listings struct {
	known map[string]*listing // by profile
	order []remembered
	bytes int
}

type remembered struct {
	profileID string
	list      *listing
}

func newListings() listings { return listings{known: make(map[string]*listing)} }

// remember keeps a list in place of the profile's last one.
func (m *listings) remember(profileID string, l *listing, now time.Time) {
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

// trim forgets from the oldest on, until the rest is young and small enough.
func (m *listings) trim(now time.Time) {
	for len(m.order) > 0 {
		first := m.order[0]
		current := m.known[first.profileID] == first.list
		if current && now.Sub(first.list.at) < listingLife && len(m.order) <= maxListings && m.bytes <= maxRemember {
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

// recall is the profile's list if it was asked for at since or later, and is
// young enough at now.
func (m *listings) recall(profileID string, since, now time.Time) *listing {
	if l := m.known[profileID]; l != nil && !l.at.Before(since) && now.Sub(l.at) < listingLife {
		return l
	}
	return nil
}
