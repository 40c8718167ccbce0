package follow

import (
	"runtime"
	"testing"

	"verdict/internal/decision"
)

func at(offset int64) decision.Origin {
	return decision.Origin{Topic: "t", Partition: 1, Offset: offset}
}

// wantCounts compares members, settled and dead letters.
func wantCounts(t *testing.T, l *tally, members, settled, dead int64) {
	t.Helper()
	n := int64(0)
	for c := deadAs; c < codes; c++ {
		n += l.counts[c]
	}
	if l.members != members || l.settled() != settled || n != dead {
		t.Errorf("%d members, %d settled, %d dead; want %d, %d, %d", l.members, l.settled(), n, members, settled, dead)
	}
}

func TestTallyCountsEachDecisionOnce(t *testing.T) {
	l := newTally()
	for i := range int64(10000) {
		l.submitted(at(i*3), i+1)
		l.submitted(at(i*3), i+1) // the same record again
	}
	l.submitted(at(1), 7) // another record of line 7
	wantCounts(t, l, 10000, 0, 0)
	if l.again != 1 {
		t.Errorf("%d again, want 1", l.again)
	}
	completed := settledCode(decision.Completed)
	for i := range int64(10000) {
		l.fate(at(i*3), completed)
		l.fate(at(i*3), completed)
		l.fate(at(i*3+2), completed) // not of the batch
	}
	l.fate(at(1), completed) // line 7's other record
	wantCounts(t, l, 10000, 10000, 0)
}

func TestTallyTakesTheResultWhereARecordEndedTwice(t *testing.T) {
	for _, order := range [][]code{
		{settledCode(decision.Completed), deadCode(decision.Rejected)},
		{deadCode(decision.Rejected), settledCode(decision.Completed)},
	} {
		l := newTally()
		l.submitted(at(0), 0)
		for _, c := range order {
			l.fate(at(0), c)
		}
		wantCounts(t, l, 1, 1, 0)
	}
}

func TestTallyCountsARedrivenDecisionByItsLatestFate(t *testing.T) {
	dead, completed := deadCode(decision.Rejected), settledCode(decision.Completed)
	l := newTally()
	l.submitted(at(0), 1)
	l.fate(at(0), dead)
	wantCounts(t, l, 1, 1, 1)

	l.redriven(at(50), redrivenCopy{of: at(0), redrives: 1})
	wantCounts(t, l, 1, 0, 0)
	l.fate(at(0), dead) // its first end, seen late
	wantCounts(t, l, 1, 0, 0)
	l.fate(at(50), dead)
	wantCounts(t, l, 1, 1, 1)

	l.redriven(at(60), redrivenCopy{of: at(0), redrives: 2})
	l.redriven(at(50), redrivenCopy{of: at(0), redrives: 1}) // seen again
	wantCounts(t, l, 1, 0, 0)
	l.fate(at(60), completed)
	l.fate(at(50), dead)
	wantCounts(t, l, 1, 1, 0)

	if l.report(at(0), dead) || l.report(at(50), dead) || !l.report(at(60), completed) || l.report(at(60), completed) {
		t.Error("the last fate, and it alone, is reported, once")
	}
}

func TestTallyKeepsACopyOfWhatIsNotOfTheBatchOut(t *testing.T) {
	l := newTally()
	l.submitted(at(0), 1)
	l.submitted(at(1), 1) // again
	l.redriven(at(2), redrivenCopy{of: at(1), redrives: 1})
	l.fate(at(2), settledCode(decision.Completed))
	wantCounts(t, l, 1, 0, 0)
}

func TestTallyKnowsOutcomesAndReasonsOfANewerVersion(t *testing.T) {
	l := newTally()
	l.submitted(at(0), 0)
	l.submitted(at(1), 0)
	l.fate(at(0), settledCode("postponed"))
	l.fate(at(1), deadCode("eaten"))
	wantCounts(t, l, 2, 2, 1)
	if l.counts[settledOther] != 1 || l.counts[deadOther] != 1 {
		t.Errorf("counts %v", l.counts)
	}
}

// heapInUse is what is in use.
func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestTallyIsSmall(t *testing.T) {
	l := newTally()
	const n = 1_000_000
	before := heapInUse()
	for i := range int64(n) {
		l.submitted(at(i), i+1)
	}
	if each := float64(heapInUse()-before) / n; each > 1.5 {
		t.Errorf("%.2f bytes for each decision, want a byte and a bit or so", each)
	}
	if l.members != n {
		t.Error("not all are members")
	}
}
