package processor

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"verdict/internal/decision"
)

func newJob(lane decision.Lane, task int) *job {
	return &job{lane: lane, size: 100, dec: decision.Decision{Task: decision.NewTask("p", fmt.Sprint(task))}}
}

// TestTheQueueKeepsTheOrderOfEachTaskAndLosesNothing runs the queue against
// what it promises, with any order of arrivals, failures and endings.
func TestTheQueueKeepsTheOrderOfEachTaskAndLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := newQueue(0.1)
		now := time.Unix(0, 0)
		type place struct {
			task decision.Task
			lane decision.Lane
		}
		arrived := make(map[place][]*job) // and not gone, in order
		busy := make(map[decision.Task]*job)
		var out []*job
		admitted := 0
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0, 1: // arrives
				j := newJob(rapid.SampledFrom(decision.Lanes[:]).Draw(t, "lane"), rapid.IntRange(0, 6).Draw(t, "task"))
				if !q.admit(j, 50, 4000) {
					if q.lanes[j.lane].pending == 0 {
						t.Fatal("an empty lane refused")
					}
					continue
				}
				admitted++
				q.add(j)
				at := place{j.dec.Task, j.lane}
				arrived[at] = append(arrived[at], j)
			case 2, 3: // goes out
				lane, ok := q.next(rapid.Bool().Draw(t, "backfill may"))
				if !ok {
					continue
				}
				if lane == decision.Backfill && q.owed < 1 && len(q.lanes[decision.Live].ready) > 0 {
					t.Fatal("backfill before live, though it is owed nothing")
				}
				j := q.begin(lane, rapid.Bool().Draw(t, "fresh"))
				q.charge(lane)
				if busy[j.dec.Task] != nil {
					t.Fatal("two of one task at a time")
				}
				if first := arrived[place{j.dec.Task, j.lane}][0]; first != j {
					t.Fatalf("%d of its task went before %d", j.seq, first.seq)
				}
				busy[j.dec.Task] = j
				out = append(out, j)
			case 4: // ends
				if len(out) == 0 {
					continue
				}
				i := rapid.IntRange(0, len(out)-1).Draw(t, "which")
				j := out[i]
				out = append(out[:i], out[i+1:]...)
				busy[j.dec.Task] = nil
				if rapid.Bool().Draw(t, "fails") {
					j.Attempts++
					q.delay(j, now.Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "delay"))*time.Second))
					continue
				}
				q.done(j)
				q.leave(j)
				at := place{j.dec.Task, j.lane}
				arrived[at] = arrived[at][1:]
				admitted--
			case 5:
				now = now.Add(time.Second)
				if due := q.ripen(now); !due.IsZero() && !due.After(now) {
					t.Fatal("what is due was left delayed")
				}
				if rapid.IntRange(0, 9).Draw(t, "drain") == 0 {
					odd := func(j *job) bool { return j.seq%2 == 1 }
					for _, j := range q.remove(odd) {
						if !odd(j) || busy[j.dec.Task] == j {
							t.Fatal("removed what was not to be removed")
						}
						q.leave(j)
						admitted--
						at := place{j.dec.Task, j.lane}
						var kept []*job
						for _, k := range arrived[at] {
							if k != j {
								kept = append(kept, k)
							}
						}
						arrived[at] = kept
					}
				}
			}
			if n := q.lanes[0].pending + q.lanes[1].pending; n != admitted {
				t.Fatalf("%d pending, want %d", n, admitted)
			}
		}
		// Everything that is left comes out in the end.
		for _, j := range out {
			q.done(j)
			q.leave(j)
			admitted--
		}
		for {
			q.ripen(now.Add(time.Hour))
			lane, ok := q.next(true)
			if !ok {
				break
			}
			j := q.begin(lane, false)
			q.done(j)
			q.leave(j)
			admitted--
		}
		if admitted != 0 || len(q.tasks) != 0 || q.lanes[0].bytes+q.lanes[1].bytes != 0 {
			t.Fatalf("%d decisions and %d tasks are left", admitted, len(q.tasks))
		}
	})
}

func TestADecisionThatIsBegunKeepsItsTaskFromLive(t *testing.T) {
	q := newQueue(0)
	backfill, live := newJob(decision.Backfill, 1), newJob(decision.Live, 1)
	q.add(backfill)
	if lane, ok := q.next(true); !ok || lane != decision.Backfill || q.begin(lane, false) != backfill {
		t.Fatal("backfill did not begin")
	}
	q.delay(backfill, time.Unix(10, 0))
	q.add(live)
	if _, ok := q.next(true); ok {
		t.Fatal("live went while backfill's own attempt was open")
	}
	q.ripen(time.Unix(10, 0))
	if lane, ok := q.next(true); !ok || q.begin(lane, false) != backfill {
		t.Fatal("backfill did not go on")
	}
	q.done(backfill)
	if lane, ok := q.next(true); !ok || lane != decision.Live || q.begin(lane, false) != live {
		t.Fatal("live did not follow")
	}
}

func TestLiveOvertakesABackfillOfItsTaskThatIsNotBegun(t *testing.T) {
	q := newQueue(0)
	q.add(newJob(decision.Backfill, 1))
	live := newJob(decision.Live, 1)
	q.add(live)
	if lane, ok := q.next(true); !ok || lane != decision.Live || q.begin(lane, false) != live {
		t.Fatal("live waited behind a backfill of its own task")
	}
}

func BenchmarkQueue(b *testing.B) {
	q := newQueue(0.1)
	jobs := make([]*job, 5000)
	for i := range jobs {
		jobs[i] = newJob(decision.Lanes[i%2], i)
		q.add(jobs[i])
	}
	b.ReportAllocs()
	for b.Loop() {
		lane, _ := q.next(true)
		j := q.begin(lane, false)
		q.charge(lane)
		q.done(j)
		q.add(j)
	}
}
