package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"verdict/internal/decision"
)

// plainly returns what the results of one task decide, read one after the other and
// each check once: the rules of the documentation, without anything that a running
// service needs.
func plainly(p *policy, results []Check) []string {
	var decided, fails []string
	seen := make(map[string]bool)
	for _, c := range results {
		if seen[c.ID] || len(decided) > 0 && !p.reopen {
			continue
		}
		seen[c.ID] = true
		switch {
		case slices.Contains(p.pass, c.Result):
			decided, fails = append(decided, "COMPLETED_PASS "+c.ID), nil
		case slices.Contains(p.fail, c.Result):
			if fails = append(fails, c.ID); len(fails) == p.times {
				decided, fails = append(decided, "COMPLETED_FAIL "+strings.Join(fails, ",")), nil
			}
		case !slices.Contains(p.ignore, c.Result) && p.consecutive:
			fails = nil
		}
	}
	return decided
}

// drawPolicy draws a policy without faults.
func drawPolicy(t *rapid.T) policy {
	p := policy{
		times:       rapid.IntRange(1, 4).Draw(t, "times"),
		consecutive: rapid.Bool().Draw(t, "consecutive"),
		reopen:      rapid.Bool().Draw(t, "reopen"),
	}
	for _, r := range decision.CheckResults {
		lists := []*[]decision.CheckResult{&p.ignore, nil, &p.pass, &p.fail}
		if r == decision.CheckError {
			lists = lists[:2]
		}
		if r == decision.CheckFail {
			lists = lists[3:]
		}
		if list := rapid.SampledFrom(lists).Draw(t, "list of "+string(r)); list != nil {
			*list = append(*list, r)
		}
	}
	return p
}

// delivery is a check result of a task, as delivered.
type delivery struct {
	task  Task
	check Check
}

// drawInput draws the results of a few tasks, mixed and some of them delivered
// again. plain has the results of each task, in order and each once.
func drawInput(t *rapid.T) (input []delivery, plain map[string][]Check) {
	tasks := make([]Task, rapid.IntRange(1, 3).Draw(t, "tasks"))
	for i := range tasks {
		tasks[i] = Task{ProfileID: profile, TaskID: fmt.Sprintf("task-%d", i)}
	}
	plain = make(map[string][]Check)
	for n := range rapid.IntRange(0, 40).Draw(t, "results") {
		if len(input) > 0 && rapid.IntRange(0, 3).Draw(t, "again") == 0 {
			input = append(input, rapid.SampledFrom(input).Draw(t, "redelivered"))
			continue
		}
		task := rapid.SampledFrom(tasks).Draw(t, "task")
		c := Check{ID: fmt.Sprintf("c%d", n), Result: rapid.SampledFrom(decision.CheckResults[:]).Draw(t, "result"), At: now}
		input = append(input, delivery{task, c})
		plain[task.TaskID] = append(plain[task.TaskID], c)
	}
	return input, plain
}

// partition is a partition of the input with its part of the state topic, and what
// its owners published.
type partition struct {
	*rapid.T
	set       Set
	input     []delivery
	committed int
	log       []Change            // the state topic
	late      []Change            // on their way to it, from owners that lost the partition
	decided   map[string][]string // by task, each decision once
	ids       map[string]string   // decision by ID
}

// own is the life of one owner: it restores the counts and takes the input in
// batches until it reaches the end or crashes, at any of the steps of a worker.
func (p *partition) own() {
	counts := NewCounts(p.set)
	for _, c := range p.log {
		counts.Restore(c.Key, c.Value)
	}
	p.log = append(p.log, p.changes(counts)...)
	for at := p.committed; at < len(p.input); {
		end := min(len(p.input), at+rapid.IntRange(1, 5).Draw(p.T, "batch"))
		crash := rapid.IntRange(0, 12).Draw(p.T, "crash")
		var decisions []*Decision
		for _, d := range p.input[at:end] {
			if _, decided := counts.Apply(&d.check, &d.task, now); decided != nil {
				decisions = append(decisions, decided)
			}
		}
		if crash == 1 {
			return
		}
		p.publish(decisions)
		if crash == 2 {
			return
		}
		changes := p.changes(counts)
		if crash == 3 {
			p.late = append(p.late, changes...) // they arrive while another owns the partition
			return
		}
		p.log = append(p.log, changes...)
		if len(p.late) > 0 && rapid.Bool().Draw(p.T, "late") {
			p.log, p.late = append(p.log, p.late[0]), p.late[1:]
		} else if rapid.IntRange(0, 5).Draw(p.T, "compacts") == 0 && len(p.late) == 0 {
			p.log = compacted(p.set, p.log)
		}
		if crash == 4 {
			return
		}
		at = end
		if crash != 5 || at == len(p.input) { // with 5 a later batch commits
			p.committed = at
		}
		if crash == 6 {
			return
		}
	}
}

// publish notes decisions; one that was published before must be the same.
func (p *partition) publish(decisions []*Decision) {
	for _, d := range decisions {
		text := string(d.State) + " " + strings.Join(d.Checks, ",")
		if before, twice := p.ids[d.ID]; !twice {
			p.ids[d.ID] = d.Task.TaskID + " " + text
			p.decided[d.Task.TaskID] = append(p.decided[d.Task.TaskID], text)
		} else if before != d.Task.TaskID+" "+text {
			p.Fatalf("%s is %s and %s", d.ID, before, text)
		}
	}
}

func (p *partition) changes(counts *Counts) []Change {
	changes, err := counts.Changes()
	if err != nil {
		p.Fatal(err)
	}
	return changes
}

// TestCountsDecideAsAPlainReadingInAnyInterleaving mixes the results of several
// tasks, delivers some again, and has them read in batches by owners that end at any
// point. Owners that have lost the partition write late, and the log is compacted at
// any time. The decisions are those of a plain reading of each task's results, each
// under one ID, and a replay decides nothing new.
func TestCountsDecideAsAPlainReadingInAnyInterleaving(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := Set{policies: []policy{drawPolicy(t)}}
		input, plain := drawInput(t)
		p := partition{T: t, set: set, input: input, decided: make(map[string][]string), ids: make(map[string]string)}
		for p.committed < len(input) {
			p.own()
		}
		for task, results := range plain {
			if want := plainly(&set.policies[0], results); !slices.Equal(p.decided[task], want) {
				t.Fatalf("%s: decided %v, want %v", task, p.decided[task], want)
			}
		}
		counts := NewCounts(set)
		for _, c := range p.log {
			counts.Restore(c.Key, c.Value)
		}
		for _, d := range input {
			if _, decided := counts.Apply(&d.check, &d.task, now); decided != nil {
				t.Fatalf("a replay decides %+v", decided)
			}
		}
	})
}

// compacted returns what compaction leaves of a log after its owner has restored
// it and written its changes, which happens long before compaction may run.
func compacted(set Set, log []Change) []Change {
	restored := NewCounts(set)
	for _, c := range log {
		restored.Restore(c.Key, c.Value)
	}
	changes, err := restored.Changes()
	if err != nil {
		return log
	}
	log = append(slices.Clone(log), changes...)
	last := make(map[string]int)
	for i, c := range log {
		last[string(c.Key)] = i
	}
	var left []Change
	for i, c := range log {
		if last[string(c.Key)] == i {
			left = append(left, c)
		}
	}
	return left
}
