package sim_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"verdict/internal/decision"
)

// plan is everything that happens in a run, in the order of its time.
type plan struct {
	seed    uint64
	rate    float64
	workers int
	members int  // at the start
	differ  bool // decisions on one task may ask for different states
	calm    bool // no fault can make a decision run twice
	sends   []send
	faults  []fault
	acts    []act // of people
}

// kind is what a record is, and so how it may end.
type kind uint8

const (
	good    kind = iota // it is carried out
	poison              // its completion always fails with 500
	missing             // its task does not exist
	hostile             // it is not a decision
	broken              // it is a batch that can't be read
	nothing             // compaction took it away
)

func (k kind) String() string {
	return [...]string{"good", "poison", "missing", "hostile", "broken", "nothing"}[k]
}

// form is how a record comes into its topic.
type form uint8

const (
	alone    form = iota // in a batch of its own
	garbled              // a batch of three records that does not unpack
	spoiled              // a batch of three records whose checksum is wrong
	torn                 // behind it in its batch is garbage
	escorted             // behind it in its batch is a record that is too large to keep, and it once more
	thinned              // of its batch of three, compaction left the last record
	emptied              // of its batch of three, compaction left the header, or nothing where others follow
)

const forms = int(emptied) + 1

// send is one record that is sent.
type send struct {
	at    time.Duration
	kind  kind
	lane  decision.Lane
	task  decision.Task
	state decision.State
	id    string // "": none
	batch string // "": none
	alias bool   // it names its task by alias
	value string // of hostile ones
	form  form
	size  int  // the number of offsets of broken ones
	in    int  // the number of the fault that is its transaction, from 1; 0: none
	void  bool // that transaction is aborted
	gone  bool // its topic was deleted. Set by the run
	again bool // a redrive sent it. Set by the run
	ended bool // it was cancelled. Set by the run
}

// mustEnd reports whether a record is settled once the faults have ended.
func (s *send) mustEnd() bool { return s.kind != poison && !s.void && !s.gone }

// same reports whether two records are the same decision.
func (s *send) same(other *send) bool {
	return s.id != "" && !s.void && s.id == other.id && s.task == other.task && s.state == other.state && s.alias == other.alias
}

// faultKind is what breaks, or happens.
type faultKind uint8

const (
	apiServerError  faultKind = iota // every call is answered 500
	apiUnavailable                   // every call is answered 503
	apiThrottled                     // every call is answered 429, with a wait
	apiThrottledNow                  // the same, without a wait
	apiHangs                         // no call is answered
	apiCut                           // connections are cut before the API acts
	apiActsAndCuts                   // connections are cut after the API acted
	apiPage                          // something else answers with a page
	apiRedirect                      // something else redirects
	apiShare                         // three calls in ten are answered 500
	apiCompletions                   // completions are answered 502, everything else works
	apiWhoAmI                        // whoami is answered 500, everything else works
	apiKey                           // the key is refused
	kafkaLeaders                     // leaders move
	kafkaCoordinators
	kafkaProduce  // a few requests to publish are refused
	kafkaCommit   // a few commits are refused
	kafkaLate     // a few requests to publish are carried out, and answered with an error
	kafkaAway     // no broker is reached
	kafkaGrows    // a topic of decisions gets two more partitions
	kafkaRetains  // the records before the committed offsets are deleted
	kafkaEnds     // brokers note the end of a partition before they read it
	kafkaRemakes  // a topic of decisions is deleted, and made again at the end
	sendsCommit   // some records are sent in a transaction, which is committed at the end
	sendsAbort    // the same, and it is aborted
	memberJoins   // a member more
	memberLeaves  // one stops, as by SIGTERM
	memberCrashes // one ends in the middle of everything
	memberCutOff  // one does not reach Kafka
	peopleRedrive // tasks that did not exist are made, and the dead letters are sent back
)

const faultKinds = peopleRedrive + 1

var faultNames = [faultKinds]string{
	"API 500", "API 503", "API 429 with a wait", "API 429", "API hangs", "API cut", "API acts, then cut", "page", "redirect", "API 500 for a share",
	"API 502 for completions", "API 500 for whoami", "key refused", "leaders move", "coordinators move", "publish refused", "commit refused",
	"publish answered late", "Kafka away", "partitions added", "retention", "ends noted early",
	"topic made again", "transaction committed", "transaction aborted", "member joins", "member leaves", "member crashes", "member cut off", "redrive",
}

func (k faultKind) String() string { return faultNames[k] }

// repeats reports whether a fault can make decisions run twice.
func (k faultKind) repeats() bool {
	return slices.Contains([]faultKind{kafkaCommit, kafkaLate, kafkaAway, memberCrashes, memberCutOff}, k)
}

// fault is something that breaks at a time, for a while.
type fault struct {
	kind faultKind
	at   time.Duration
	span time.Duration // 0: it happens at once
	pick int           // which member, how many requests, or which lane
	n    int           // its number in the plan, from 1
}

func (f *fault) until() time.Duration { return f.at + f.span }

// lane returns the lane whose topic a fault is about.
func (f *fault) lane() decision.Lane { return decision.Lane(f.pick % 2) }

// resumes returns when senders send again to a topic that was made again. While a member
// may not have noticed that, a topic that outgrew what it had read would be taken for the
// old one: it notices within seconds, unless it is cut off, or crashed after a late commit.
func (f *fault) resumes() time.Duration { return max(f.at+3*time.Minute, f.until()) }

// draw draws the plan of a seed.
func draw(seed uint64) plan {
	r := rand.New(rand.NewPCG(seed, 0x5eed))
	p := plan{seed: seed, workers: 4 + r.IntN(61), members: 1 + r.IntN(3), differ: r.IntN(2) == 0, calm: true}
	p.rate = []float64{10, 20, 50, 100}[r.IntN(4)]
	length := time.Duration(2+r.IntN(9)) * time.Minute
	p.drawFaults(r, length)
	p.drawSends(r, length)
	p.drawActs(length)
	return p
}

func (p *plan) drawFaults(r *rand.Rand, length time.Duration) {
	for range r.IntN(7) {
		f := fault{kind: faultKind(r.IntN(int(faultKinds))), at: between(r, 0, length), pick: r.IntN(100)}
		switch {
		case f.kind < kafkaLeaders:
			f.span = between(r, time.Second, 2*time.Minute)
			if r.IntN(8) == 0 {
				f.span = 12 * time.Minute
			}
		case f.kind == kafkaAway, f.kind == memberCutOff:
			f.span = between(r, time.Second, 90*time.Second)
		case f.kind == kafkaEnds, f.kind == sendsCommit, f.kind == sendsAbort:
			f.span = between(r, time.Second, 4*time.Minute)
		case f.kind == kafkaRemakes:
			if slices.ContainsFunc(p.faults, func(g fault) bool { return g.kind == f.kind && g.lane() == f.lane() }) {
				continue
			}
			// The history tells old results from new ones by their times.
			f.at = f.at.Truncate(time.Millisecond)
			f.span = []time.Duration{0, between(r, 0, 4*time.Minute).Truncate(time.Millisecond)}[r.IntN(2)]
		}
		p.calm = p.calm && !f.kind.repeats()
		p.faults = append(p.faults, f)
	}
	slices.SortFunc(p.faults, func(a, b fault) int { return cmp.Compare(a.at, b.at) })
	for i := range p.faults {
		p.faults[i].n = i + 1
	}
}

func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)))
}

// drawSends draws the records. A task's decisions are in one lane, since the lanes are
// not ordered, and a task is good, poisoned or missing for all of them.
func (p *plan) drawSends(r *rand.Rand, length time.Duration) {
	n := 50 + r.IntN(1901)
	tasks := 1 + r.IntN(n)
	badOf := []int{0, 0, 20, 100}[r.IntN(4)]
	hot := -1 // the task of half of the records, more than are held in memory
	if r.IntN(4) == 0 {
		hot = r.IntN(tasks)
	}
	var sent []send
	rough := r.IntN(3) == 0 // some records come in strange batches
	for i := range n {
		t := r.IntN(tasks)
		if hot >= 0 && r.IntN(2) == 0 {
			t = hot
		}
		s := send{at: between(r, 0, length), task: task(t), state: decision.CompletedPass, lane: decision.Lane(t % 2)}
		if r.IntN(3) == 0 {
			s.at = between(r, 0, time.Second) // a backlog
		}
		if p.differ && r.IntN(2) == 0 {
			s.state = decision.CompletedFail
		}
		if s.lane == decision.Backfill && t%3 > 0 {
			s.batch = fmt.Sprint("batch-", t%3)
		}
		if badOf > 0 && t%badOf == 7 {
			s.kind = poison
		} else if badOf > 0 && t%badOf == 11 && t != hot { // one by one, each of hundreds takes two calls and a wait
			s.kind = missing
		}
		switch r.IntN(10) {
		case 0, 1, 2:
			s.id = fmt.Sprint("d-", i)
		case 3:
			s.id = fmt.Sprint("reused-", r.IntN(5)) // by other tasks too
		case 4:
			// Not where a task may have more records than are held in memory: where tasks
			// are named by alias, the profile's decisions share that.
			if s.kind == good && 10*tasks > n && (hot < 0 || t/8 != hot/8) {
				s.alias = true
			}
		case 5:
			if len(sent) == 0 {
				break
			}
			if again := sent[r.IntN(len(sent))]; again.kind < broken { // a producer sends twice
				again.at = max(again.at, s.at)
				s = again
			}
		}
		if r.IntN(60) == 0 {
			s = send{at: s.at, kind: hostile, lane: s.lane, task: s.task, value: hostiles[r.IntN(len(hostiles))]}
		}
		if s.form = alone; rough && s.kind != hostile && r.IntN(30) == 0 {
			switch s.form = form(r.IntN(forms)); s.form {
			case garbled, spoiled:
				s.kind, s.size = broken, 3
			case emptied:
				s.kind = nothing
			case alone, torn, escorted, thinned:
			}
		}
		p.drawTransaction(r, &s)
		sent = append(sent, s)
	}
	slices.SortStableFunc(sent, func(a, b send) int { return cmp.Compare(a.at, b.at) })
	p.sends = sent
}

// drawTransaction moves a record to when its topic is there, and puts it into a transaction.
func (p *plan) drawTransaction(r *rand.Rand, s *send) {
	s.in, s.void = 0, false
	var remade *fault
	for i := range p.faults {
		f := &p.faults[i]
		if f.kind != kafkaRemakes || f.lane() != s.lane {
			continue
		}
		remade = f
		if s.at >= f.at && s.at < f.resumes() {
			s.at = f.resumes() + between(r, 0, time.Minute)
		}
	}
	if s.kind == hostile || s.form != alone || r.IntN(3) > 0 {
		return
	}
	for _, f := range p.faults {
		if f.kind != sendsCommit && f.kind != sendsAbort || s.at < f.at || s.at >= f.until() ||
			remade != nil && f.at < remade.resumes() && f.until() > remade.at { // it would be lost with the topic
			continue
		}
		s.in, s.void = f.n, f.kind == sendsAbort
		return
	}
}

var hostiles = []string{
	"", "{", "null", "[]", `"a"`, strings.Repeat("[", 10_000), "\xff\xfe", `{"profile_id":"x","task_id":"y","state":"COMPLETED_PASS"}`,
	`{"profile_id":"../../whoami","task_id":"../..","state":"COMPLETED_PASS"}`, `{"state":"COMPLETED_MAYBE"}`, strings.Repeat("x", 80_000),
}

func (p *plan) String() string {
	var b strings.Builder
	kinds := make(map[kind]int)
	for _, s := range p.sends {
		kinds[s.kind]++
	}
	fmt.Fprintf(&b, "seed %d: %v records over %v, %v calls a second, %d members with %d workers, differ %v\n",
		p.seed, kinds, p.sends[len(p.sends)-1].at.Round(time.Second), p.rate, p.members, p.workers, p.differ)
	for _, f := range p.faults {
		fmt.Fprintf(&b, "  %8v %s for %v (%d)\n", f.at.Round(time.Millisecond), f.kind, f.span.Round(time.Millisecond), f.pick)
	}
	for _, a := range p.acts {
		fmt.Fprintf(&b, "  %8v %s for %v (%v, %s, %v, %.1f a second)\n", a.at.Round(time.Millisecond), a.kind, a.span.Round(time.Millisecond), a.lane, a.batch, a.task, a.rate)
	}
	return b.String()
}

// task returns task n. Each profile has four, so that look-ups by alias meet others.
func task(n int) decision.Task {
	return decision.NewTask(fmt.Sprintf("%08x-aaaa-bbbb-cccc-%012x", n/8*2+n%2, n%2), fmt.Sprintf("%08x-dddd-eeee-ffff-%012x", n, n))
}

// aliasOf returns the alias of a task.
func aliasOf(t decision.Task) string { return "alias-" + t.TaskID }

// record returns the record's value.
func (s *send) record() string {
	if s.kind == hostile {
		return s.value
	}
	fields := []string{fmt.Sprintf(`"profile_id":%q`, s.task.ProfileID), fmt.Sprintf(`"state":%q`, s.state)}
	if s.alias {
		fields = append(fields, fmt.Sprintf(`"task":{"alias":%q}`, aliasOf(s.task)))
	} else {
		fields = append(fields, fmt.Sprintf(`"task_id":%q`, s.task.TaskID))
	}
	if s.id != "" {
		fields = append(fields, fmt.Sprintf(`"id":%q`, s.id))
	}
	if s.batch != "" {
		fields = append(fields, fmt.Sprintf(`"batch_id":%q`, s.batch))
	}
	return "{" + strings.Join(fields, ",") + "}"
}
