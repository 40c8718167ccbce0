package recent

import (
	"fmt"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"verdict/internal/decision"
)

// printOf returns the print of a decision, by numbers.
func printOf(id, task int, state decision.State) Print {
	d := decision.Decision{ID: fmt.Sprint("d-", id), OwnID: true, State: state}
	d.Task = decision.NewTask("11111111-1111-1111-1111-111111111111", taskID(task))
	return PrintOf(&d, d.Identity(), d.Task)
}

func taskID(n int) string { return fmt.Sprintf("22222222-2222-2222-2222-%012x", n) }

func TestMemoryHasTheLastTenThousand(t *testing.T) {
	var m Memory
	for i := range 25_000 {
		p := printOf(i, i, decision.CompletedPass)
		m.Add(p, "")
		m.Add(p, "") // twice is once
	}
	for i := range 25_000 {
		p := printOf(i, i, decision.CompletedPass)
		if _, has := m.Find(p); has != (i >= 15_000) || m.HasID(p) != has {
			t.Fatalf("%d is remembered: %v, its ID: %v", i, has, m.HasID(p))
		}
	}
}

// model is a Memory as its comment describes it.
type model struct {
	all []modelEntry // oldest first
}

type modelEntry struct {
	Print
	Settled
}

func (m *model) find(p Print) *modelEntry {
	for i := range m.all {
		if m.all[i].identity == p.identity {
			return &m.all[i]
		}
	}
	return nil
}

func (m *model) overtake(p Print) {
	for i := range m.all {
		if m.all[i].task == p.task && m.all[i].identity != p.identity {
			m.all[i].Overtaken = true
		}
	}
}

func (m *model) add(p Print, taskID string) {
	m.overtake(p)
	e := m.find(p)
	if e == nil {
		m.all = append(m.all, modelEntry{Print: p})
		m.all = m.all[max(len(m.all)-Size, 0):]
		e = m.find(p)
	}
	e.Settled = Settled{TaskID: taskID}
}

// TestMemoryIsTheModel fills a Memory up to its bound and beyond, with few IDs and
// tasks, so that all of them come back.
func TestMemoryIsTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m Memory
		var want model
		few := rapid.IntRange(0, 5)
		draw := func() (Print, int) {
			task := few.Draw(t, "task")
			return printOf(few.Draw(t, "ID"), task, rapid.SampledFrom([]decision.State{decision.CompletedPass, decision.CompletedFail}).Draw(t, "state")), task
		}
		for fill := range rapid.IntRange(0, 3).Draw(t, "fills") {
			for i := range rapid.SampledFrom([]int{1, 100, Size - 3, Size}).Draw(t, "others") {
				m.Add(Print{identity: uint64(fill*Size+i) * 0x9E3779B97F4A7C15, id: uint64(i % 7), task: uint64(i % 3)}, "")
			}
			want = replay(&m)
		}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			p, task := draw()
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				m.Overtake(p)
				want.overtake(p)
			case 1:
				m.Add(p, taskID(task))
				want.add(p, taskID(task))
			default:
				m.Add(p, "")
				want.add(p, "")
			}
			p, _ = draw()
			got, ok := m.Find(p)
			e := want.find(p)
			if ok != (e != nil) || e != nil && got != e.Settled {
				t.Fatalf("found %+v, %v, want %+v", got, ok, e)
			}
			if has := slices.ContainsFunc(want.all, func(e modelEntry) bool { return e.id == p.id }); m.HasID(p) != has {
				t.Fatalf("the ID is remembered: %v, want %v", !has, has)
			}
		}
	})
}

// replay returns the model of a memory as it is now.
func replay(m *Memory) (w model) {
	for i := range m.prints {
		p := m.prints[(m.next+i)%len(m.prints)]
		e := modelEntry{Print: p, Settled: Settled{Overtaken: p.task&overtaken != 0}}
		e.task &^= overtaken
		w.all = append(w.all, e)
	}
	return w
}

// TestPrintIsOfTheTaskOrElseOfItsName: another alias may be another task, a known task is
// the same however it is named.
func TestPrintIsOfTheTaskOrElseOfItsName(t *testing.T) {
	task := func(id int, alias, taskID string) uint64 {
		d := decision.Decision{ID: fmt.Sprint(id), Key: decision.Key{Alias: alias}}
		return PrintOf(&d, d.Identity(), decision.NewTask("11111111-1111-1111-1111-111111111111", taskID)).task
	}
	if task(1, "a", "") != task(2, "a", "") || task(1, "a", "") == task(1, "b", "") {
		t.Error("tasks that are not known do not differ by their names alone")
	}
	if task(1, "a", taskID(1)) != task(2, "", taskID(1)) {
		t.Error("a task is another one by its name")
	}
}

func TestMemoryIsSmall(t *testing.T) {
	for name, test := range map[string]struct {
		decisions int
		byAlias   bool
		most      uint64 // bytes
	}{
		"ten":               {10, false, 1 << 10},
		"full":              {4 * Size, false, 345 << 10},
		"full and by alias": {4 * Size, true, 505 << 10},
	} {
		// Enough decisions in all that what the runtime itself holds, a few
		// kilobytes more or less, makes no difference.
		all := make([]Memory, 1+8*Size/test.decisions)
		before := heap()
		for i := range all {
			for n := range test.decisions {
				id := ""
				if test.byAlias {
					id = taskID(n)
				}
				all[i].Add(printOf(n, n, decision.CompletedPass), id)
			}
		}
		if got := (heap() - before) / uint64(len(all)); got > test.most {
			t.Errorf("%s: a memory takes %d bytes, want at most %d", name, got, test.most)
		}
		runtime.KeepAlive(all)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkAdd(b *testing.B) {
	var m Memory
	prints := make([]Print, 4*Size)
	for i := range prints {
		prints[i] = printOf(i, i, decision.CompletedPass)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		m.Add(prints[n%len(prints)], "")
		n++
	}
}
