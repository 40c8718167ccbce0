package policy

import (
	"fmt"
	"runtime"
	"testing"

	"verdict/internal/decision"
)

// BenchmarkCounts measures what a task costs in time and memory: B/op is for one
// task with two fails.
func BenchmarkCounts(b *testing.B) {
	b.ReportAllocs()
	counts := NewCounts(Default())
	n := 0
	for b.Loop() {
		n++
		task := Task{ProfileID: fmt.Sprintf("%08x-8142-c8ea-91d9-3080f9b439fc", n), TaskID: fmt.Sprintf("%08x-3c88-ad8a-bd70-73d26c7e40ec", n)}
		for check := range 2 {
			c := Check{ID: fmt.Sprintf("%08x-3de3-1785-203b-68044cd3ecb%d", n, check), Result: decision.CheckFail}
			counts.Apply(&c, &task, now)
		}
		if n%1000 == 0 {
			if _, err := counts.Changes(); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// TestWhatATaskCosts checks the figures that docs/decide.md gives for memory.
func TestWhatATaskCosts(t *testing.T) {
	const tasks = 10_000
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for _, c := range []struct {
		name   string
		checks int
		result decision.CheckResult
		most   uint64
	}{
		{"passed by one check", 1, decision.CheckPass, 500},
		{"with two fails", 2, decision.CheckFail, 600},
		{"failed by three", 3, decision.CheckFail, 800},
	} {
		before := heap()
		counts := NewCounts(Default())
		for n := range tasks {
			task := Task{ProfileID: fmt.Sprintf("%08x-8142-c8ea-91d9-3080f9b439fc", n), TaskID: fmt.Sprintf("%08x-3c88-ad8a-bd70-73d26c7e40ec", n)}
			for check := range c.checks {
				counts.Apply(&Check{ID: fmt.Sprintf("%08x-3de3-1785-203b-68044cd3ecb%d", n, check), Result: c.result}, &task, now)
			}
		}
		size := recordSize(t, counts)
		each := (heap() - before) / tasks
		t.Logf("a task %s: %d bytes in memory, %d as a record", c.name, each, size)
		if each > c.most {
			t.Errorf("a task %s costs %d bytes of memory; the documentation says at most %d", c.name, each, c.most)
		}
		runtime.KeepAlive(counts)
	}
}

// recordSize returns the size of one state as a record; all have the same size.
func recordSize(t *testing.T, counts *Counts) int {
	changes, err := counts.Changes()
	if err != nil || len(changes) == 0 {
		t.Fatal(err)
	}
	return len(changes[0].Key) + len(changes[0].Value)
}
