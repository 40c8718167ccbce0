package processor

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"verdict/internal/decision"
)

// TestGatesKeepTheOrderOfEachTaskHoweverItIsNamed runs the queue with decisions
// by ID and by alias: whatever look-ups bring, each task's decisions go in the
// order in which they came, and none is lost.
func TestGatesKeepTheOrderOfEachTaskHoweverItIsNamed(t *testing.T) {
	const none = 9 // the alias that no task has
	find := func(j *job) (string, bool) {
		var n int
		if _, err := fmt.Sscanf(j.dec.Key.Alias, "a%d", &n); err != nil || n == none {
			return "", false
		}
		return fmt.Sprint(n), true
	}
	rapid.Check(t, func(t *rapid.T) {
		q := newQueue(0.1)
		q.profiles = make(map[string]int)
		type place struct {
			task decision.Task
			lane decision.Lane
		}
		now := time.Unix(0, 0)
		arrived := make(map[place][]*job) // and not gone, in order
		busy := make(map[decision.Task]*job)
		looking := make(map[place]*job) // behind whose gate a look-up is under way
		var out []*job
		left := 0
		gone := func(j *job) { left-- }
		at := func(j *job) place {
			id := j.dec.Task.TaskID
			if id == "" {
				id, _ = find(j)
			}
			return place{decision.NewTask(j.dec.Task.ProfileID, id), j.lane}
		}
		take := func(fresh bool) {
			lane, ok := q.next(true)
			if !ok {
				return
			}
			j := q.begin(lane, fresh)
			if j.unresolved() {
				gate := place{decision.Task{ProfileID: j.dec.Task.ProfileID}, j.lane}
				if looking[gate] != nil {
					t.Fatal("two look-ups behind one gate")
				}
				looking[gate] = j
			} else {
				if busy[j.dec.Task] != nil {
					t.Fatal("two of one task at a time")
				}
				if first := arrived[at(j)][0]; first != j {
					t.Fatalf("%d of its task went before %d", j.seq, first.seq)
				}
				busy[j.dec.Task] = j
			}
			out = append(out, j)
		}
		end := func(i int, fails bool) {
			j := out[i]
			out = slices.Delete(out, i, i+1)
			if j.unresolved() {
				delete(looking, place{decision.Task{ProfileID: j.dec.Task.ProfileID}, j.lane})
			} else {
				delete(busy, j.dec.Task)
			}
			switch {
			case fails:
				q.delay(j, now.Add(time.Second))
			case !j.unresolved():
				p := at(j)
				arrived[p] = arrived[p][1:]
				q.done(j)
				gone(j)
			default:
				gate := j.task
				for _, k := range q.resolve(gate, func(k *job) bool {
					id, ok := find(k)
					k.dec.Task.TaskID = id
					return ok
				}) {
					if k.task != nil {
						t.Fatal("refused, and still queued")
					}
					gone(k)
				}
				if id, ok := find(j); ok {
					q.move(j, id)
				} else {
					q.done(j)
					gone(j)
				}
			}
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0, 1, 2:
				n := rapid.IntRange(0, 3).Draw(t, "task")
				j := &job{lane: rapid.SampledFrom(decision.Lanes[:]).Draw(t, "lane"), hold: &hold{}}
				j.dec.Task.ProfileID = fmt.Sprint("p", rapid.IntRange(0, 1).Draw(t, "profile"))
				if rapid.Bool().Draw(t, "by key") {
					if n == 3 {
						n = none
					}
					j.dec.Key.Alias = fmt.Sprint("a", n)
				} else {
					j.dec.Task.TaskID = fmt.Sprint(n)
				}
				q.add(j)
				left++
				if n != none {
					arrived[at(j)] = append(arrived[at(j)], j)
				}
			case 3:
				take(rapid.Bool().Draw(t, "fresh"))
			case 4:
				if len(out) > 0 {
					end(rapid.IntRange(0, len(out)-1).Draw(t, "which"), rapid.Bool().Draw(t, "fails"))
				}
			case 5:
				now = now.Add(time.Second)
				q.ripen(now)
			}
		}
		for n := 0; left > 0 && n < 10_000; n++ {
			now = now.Add(time.Second)
			q.ripen(now)
			take(false)
			for len(out) > 0 {
				end(0, false)
			}
		}
		if left != 0 || len(q.tasks) != 0 || q.gates != 0 || len(q.profiles) != 0 {
			t.Fatalf("%d decisions, %d tasks, %d gates and %d profiles are left", left, len(q.tasks), q.gates, len(q.profiles))
		}
	})
}

func TestADecisionThatMovesToAnotherTaskGoesBeforeThoseThatCameLater(t *testing.T) {
	q := newQueue(0)
	job := func(alias, id string) *job {
		j := &job{hold: &hold{}}
		j.dec.Task = decision.NewTask("p", id)
		j.dec.Key.Alias = alias
		q.add(j)
		return j
	}
	moved := job("a", "")
	q.begin(decision.Live, false)
	q.move(moved, "1") // found
	if q.begin(decision.Live, false) != moved {
		t.Fatal("it does not go")
	}
	after, other := job("", "1"), job("", "2")
	q.move(moved, "2") // gone, and found again
	if first := q.begin(decision.Live, false); first != moved {
		t.Errorf("%v went first on its new task", first.dec)
	}
	if next := q.begin(decision.Live, false); next != after {
		t.Error("its old task was not let go")
	}
	q.done(moved)
	if next := q.begin(decision.Live, false); next != other {
		t.Error("its new task was not let go")
	}
}

func TestADrainTakesOutWhatWaitsBehindAGate(t *testing.T) {
	q := newQueue(0)
	var mine, others []*job
	for i := range 20 {
		j := &job{hold: &hold{revoked: i%2 == 0}}
		j.dec.Task = decision.NewTask("p", fmt.Sprint(i%3))
		if i%5 == 0 {
			j.dec.Task.TaskID, j.dec.Key.Type = "", "T"
		}
		if q.add(j); j.hold.revoked {
			others = append(others, j)
		} else {
			mine = append(mine, j)
		}
	}
	if removed := q.remove(func(j *job) bool { return j.hold.revoked }); len(removed) != len(others) {
		t.Errorf("%d removed, want %d", len(removed), len(others))
	}
	n := 0
	for {
		lane, ok := q.next(true)
		if !ok {
			break
		}
		j := q.begin(lane, false)
		if j.hold.revoked {
			t.Error("it was to be removed")
		}
		if n++; j.unresolved() {
			j.dec.Task.TaskID = "0"
		}
		q.done(j)
	}
	if n != len(mine) || q.gates != 0 {
		t.Errorf("%d went, want %d; %d gates are left", n, len(mine), q.gates)
	}
}
