package resolve

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"verdict/internal/passfort"
)

// listOf returns a list of so many tasks of a type, whose answer had a body of so
// many bytes.
func listOf(at time.Time, tasks int, text string, body int) *Listing {
	raw := json.RawMessage(strings.Repeat("x", body))
	all := make([]passfort.Task, tasks)
	for i := range all {
		all[i] = passfort.Task{ID: fmt.Sprint(i), Type: text, Raw: raw}
	}
	return NewListing(at, 200, all)
}

func TestMemoryKeepsTheNewestListBriefly(t *testing.T) {
	m := NewMemory()
	start := time.Unix(1000, 0)
	first, second := listOf(start, 1, "a", 1), listOf(start.Add(2*time.Second), 1, "b", 1)
	m.Remember("p", first, start)
	if m.Recall("p", start, start.Add(time.Second)) != first || m.Recall("q", start, start) != nil {
		t.Error("not recalled")
	}
	if m.Recall("p", start.Add(1), start.Add(time.Second)) != nil {
		t.Error("recalled for who wants to know of later")
	}
	m.Remember("p", second, second.At)
	if m.Recall("p", time.Time{}, start.Add(3*time.Second)) != second {
		t.Error("the newest was not recalled")
	}
	m.trim(start.Add(Life + time.Second)) // the first would be over
	if m.Recall("p", time.Time{}, start.Add(Life+time.Second)) != second {
		t.Error("the newest went with the first")
	}
	if m.Recall("p", time.Time{}, second.At.Add(Life)) != nil {
		t.Error("recalled after its time")
	}
	m.Remember("p", listOf(second.At, 1, strings.Repeat("x", maxListing), 1), second.At)
	if m.Recall("p", time.Time{}, second.At) != nil || m.bytes != 0 {
		t.Errorf("recalled in place of one too large to remember; %d bytes", m.bytes)
	}
	m.trim(second.At.Add(Life))
	if len(m.known) != 0 || len(m.order) != 0 || m.bytes != 0 {
		t.Errorf("%d known, %d in order, %d bytes", len(m.known), len(m.order), m.bytes)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	for name, c := range map[string]struct{ tasks, text, known int }{
		"many small": {1, 10, maxListings}, "large": {50, 2000, 37}, "few huge": {1, 10 << 20, 0}, "none at all": {0, 0, maxListings},
		"as large as may be": {1, maxListing - taskBytes - len("0"), maxBytes / maxListing},
	} {
		m := NewMemory()
		for i := range 20_000 {
			if c.text > 100<<10 && i > 20 {
				break
			}
			m.Remember(fmt.Sprint(i), listOf(now, c.tasks, strings.Repeat("x", c.text), 1), now)
			if len(m.known) > maxListings || len(m.order) > maxListings || m.bytes > maxBytes {
				t.Fatalf("%s: %d known, %d in order, %d bytes", name, len(m.known), len(m.order), m.bytes)
			}
		}
		sum := 0
		for _, l := range m.known {
			sum += l.size()
		}
		if sum != m.bytes || len(m.known) != c.known {
			t.Errorf("%s: %d bytes, counted as %d; %d known, want %d", name, sum, m.bytes, len(m.known), c.known)
		}
	}
}

func TestListIsAsLargeAsItsTexts(t *testing.T) {
	texts := passfort.Task{ID: "1", Type: "22", State: "333", Variant: passfort.Variant{ID: "4444", Name: "55555", Alias: "666666", TaskType: "7777777"}}
	if got, want := NewListing(time.Time{}, 200, []passfort.Task{texts, texts}).size(), 2*(taskBytes+1+2+3+4+5+6+7); got != want {
		t.Errorf("%d bytes, want %d", got, want)
	}
}

// TestMemoryHoldsNoAnswerBodies has what is remembered cost what it is counted
// as, and not the bodies that it came in.
func TestMemoryHoldsNoAnswerBodies(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	m := NewMemory()
	now := time.Now()
	for i := range maxListings {
		m.Remember(fmt.Sprint(i), listOf(now, 10, fmt.Sprint("INDIVIDUAL_VERIFY_IDENTITY", i), 10<<10), now)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int(after.HeapAlloc) - int(before.HeapAlloc); grown > 2*maxBytes {
		t.Errorf("%d lists take %d bytes, counted as %d", len(m.known), grown, m.bytes)
	}
	runtime.KeepAlive(m)
}
