package follow

import (
	"runtime"
	"testing"

	"verdict/internal/decision"
)

func at(offset int64) decision.Position {
	return decision.Position{Topic: "t", Partition: 1, Offset: offset}
}

// wantCounts compares the numbers of members, settled decisions and dead letters.
func wantCounts(t *testing.T, l *tally, members, settled, dead int64) {
	t.Helper()
	n := int64(0)
	for c := deadAs; c < statuses; c++ {
		n += l.counts[c]
	}
	if l.members != members || l.settled() != settled || n != dead {
		t.Errorf("%d members, %d settled, %d dead; want %d, %d, %d", l.members, l.settled(), n, members, settled, dead)
	}
}

func TestTallyCountsEachDecisionOnce(t *testing.T) {
	l := newTally()
	for i := range int64(10000) {
		l.addRecord(at(i*3), i+1, 0)
		l.addRecord(at(i*3), i+1, 0) // the same record again
	}
	l.addRecord(at(1), 7, 0) // another record of line 7
	wantCounts(t, l, 10000, 0, 0)
	if l.repeated != 1 {
		t.Errorf("%d repeated, want 1", l.repeated)
	}
	completed := resultStatus(decision.Completed)
	for i := range int64(10000) {
		l.settle(at(i*3), completed)
		l.settle(at(i*3), completed)
		l.settle(at(i*3+2), completed) // not of the batch
	}
	l.settle(at(1), completed) // the other record of line 7
	wantCounts(t, l, 10000, 10000, 0)
}

func TestTallyPrefersAResultToADeadLetter(t *testing.T) {
	for _, order := range [][]status{
		{resultStatus(decision.Completed), deadStatus(decision.Rejected)},
		{deadStatus(decision.Rejected), resultStatus(decision.Completed)},
	} {
		l := newTally()
		l.addRecord(at(0), 0, 0)
		for _, c := range order {
			l.settle(at(0), c)
		}
		wantCounts(t, l, 1, 1, 0)
	}
}

func TestTallyCountsARedrivenDecisionByItsLatestCopy(t *testing.T) {
	dead, completed := deadStatus(decision.Rejected), resultStatus(decision.Completed)
	l := newTally()
	l.addRecord(at(0), 1, 0)
	l.settle(at(0), dead)
	wantCounts(t, l, 1, 1, 1)

	l.addCopy(at(50), redrivenCopy{of: at(0), redrives: 1})
	wantCounts(t, l, 1, 0, 0)
	l.settle(at(0), dead) // its first dead letter, read late
	wantCounts(t, l, 1, 0, 0)
	l.settle(at(50), dead)
	wantCounts(t, l, 1, 1, 1)

	l.addCopy(at(60), redrivenCopy{of: at(0), redrives: 2})
	l.addCopy(at(50), redrivenCopy{of: at(0), redrives: 1}) // read again
	wantCounts(t, l, 1, 0, 0)
	l.settle(at(60), completed)
	l.settle(at(50), dead)
	wantCounts(t, l, 1, 1, 0)

	if l.markReported(at(0), dead) || l.markReported(at(50), dead) || !l.markReported(at(60), completed) || l.markReported(at(60), completed) {
		t.Error("want only the last status reported, and once")
	}
}

func TestTallyExcludesCopiesOfExcludedRecords(t *testing.T) {
	l := newTally()
	l.addRecord(at(0), 1, 0)
	l.addRecord(at(1), 1, 0) // again
	l.addCopy(at(2), redrivenCopy{of: at(1), redrives: 1})
	l.settle(at(2), resultStatus(decision.Completed))
	wantCounts(t, l, 1, 0, 0)
}

func TestTallyCountsOutcomesOfANewerVersion(t *testing.T) {
	l := newTally()
	l.addRecord(at(0), 0, 0)
	l.addRecord(at(1), 0, 0)
	l.settle(at(0), resultStatus("postponed"))
	l.settle(at(1), deadStatus("eaten"))
	wantCounts(t, l, 2, 2, 1)
	if l.counts[settledOther] != 1 || l.counts[deadOther] != 1 {
		t.Errorf("counts %v", l.counts)
	}
}

// heapInUse returns the bytes of heap in use.
func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestTallyTakesLittleMemory(t *testing.T) {
	l := newTally()
	const n = 1_000_000
	before := heapInUse()
	for i := range int64(n) {
		l.addRecord(at(i), i+1, 0)
	}
	if each := float64(heapInUse()-before) / n; each > 5.5 {
		t.Errorf("%.2f bytes for each decision, want about five bytes and a bit", each)
	}
	if l.members != n {
		t.Errorf("%d members, want %d", l.members, n)
	}
}
