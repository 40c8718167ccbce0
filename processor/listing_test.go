package processor

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"verdict/internal/passfort"
)

func listOf(at time.Time, tasks int, text string) *listing {
	all := make([]passfort.Task, tasks)
	for i := range all {
		all[i] = passfort.Task{ID: fmt.Sprint(i), Type: text, Raw: json.RawMessage(strings.Repeat("x", 1<<10))}
	}
	return newListing(at, 200, all)
}

func TestListsAreRememberedBrieflyAndTheNewestOfAProfileAlone(t *testing.T) {
	m := newListings()
	start := time.Unix(1000, 0)
	first, second := listOf(start, 1, "a"), listOf(start.Add(2*time.Second), 1, "b")
	m.remember("p", first, start)
	if m.recall("p", start, start.Add(time.Second)) != first || m.recall("q", start, start) != nil {
		t.Error("not recalled")
	}
	if m.recall("p", start.Add(1), start.Add(time.Second)) != nil {
		t.Error("recalled for who wants to know of later")
	}
	m.remember("p", second, second.at)
	if m.recall("p", time.Time{}, start.Add(3*time.Second)) != second {
		t.Error("the newest was not recalled")
	}
	m.trim(start.Add(listingLife + time.Second)) // the first would be over
	if m.recall("p", time.Time{}, start.Add(listingLife+time.Second)) != second {
		t.Error("the newest went with the first")
	}
	if m.recall("p", time.Time{}, second.at.Add(listingLife)) != nil {
		t.Error("recalled after its time")
	}
	m.trim(second.at.Add(listingLife))
	if len(m.known) != 0 || len(m.order) != 0 || m.bytes != 0 {
		t.Errorf("%d known, %d in order, %d bytes", len(m.known), len(m.order), m.bytes)
	}
}

func TestRememberedListsAreBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	for name, c := range map[string]struct{ tasks, text int }{
		"many small": {1, 10}, "large": {50, 2000}, "few huge": {1, 10 << 20}, "none at all": {0, 0},
	} {
		m := newListings()
		for i := range 20_000 {
			if c.text > 1<<20 && i > 20 {
				break
			}
			m.remember(fmt.Sprint(i), listOf(now, c.tasks, strings.Repeat("x", c.text)), now)
			if len(m.known) > maxListings || len(m.order) > maxListings || m.bytes > maxRemember {
				t.Fatalf("%s: %d known, %d in order, %d bytes", name, len(m.known), len(m.order), m.bytes)
			}
		}
		sum := 0
		for _, l := range m.known {
			sum += l.size()
		}
		if sum != m.bytes {
			t.Errorf("%s: %d bytes, counted as %d", name, sum, m.bytes)
		}
	}
}

// TestARememberedListHoldsNoAnswer has what is remembered cost what it is counted
// as, and not the bodies that it came in.
func TestARememberedListHoldsNoAnswer(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	m := newListings()
	now := time.Now()
	for i := range maxListings {
		m.remember(fmt.Sprint(i), listOf(now, 10, fmt.Sprint("INDIVIDUAL_VERIFY_IDENTITY", i)), now)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int(after.HeapAlloc) - int(before.HeapAlloc); grown > 2*maxRemember {
		t.Errorf("%d lists take %d bytes, counted as %d", len(m.known), grown, m.bytes)
	}
	runtime.KeepAlive(m)
}
