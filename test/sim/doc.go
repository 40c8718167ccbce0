// Package sim simulates the whole service from a seed: members, Kafka, the API, the
// people and programs that send decisions, and the faults of all of them. It has tests
// only; make sim runs as many seeds as are wanted.
//
// world_test.go has what is there, faults_test.go what breaks, and senders_test.go how
// records come into their topics: in transactions, in batches that can't be read or that
// compaction thinned out, and by redrives.
//
// A plan is drawn from the seed, and nothing else is random: what is sent and when, what
// breaks, when and for how long. The run plays it in a testing/synctest bubble, so an
// hour takes a second or two. Afterwards the history of the run (what was sent, called
// and published) is checked: nothing lost, nothing doubled without need, no order broken,
// no identity confused, no call above the limit, no decision blamed for a fault that was
// not its own; and once the faults have ended, every good decision is settled in time.
package sim
