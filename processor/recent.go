package processor

import "hash/maphash"

// recentSize is how many IDs are remembered per partition.
const recentSize = 10_000

// partition names a partition of a topic.
type partition struct {
	topic string
	id    int
}

func (j *job) source() partition { return partition{j.rec.Topic, j.rec.Partition} }

// recentIDs holds the IDs of the latest decisions that were settled with a result,
// by partition, in memory only.
type recentIDs map[partition]*recent

// has reports whether the job's ID was settled with a result.
func (r recentIDs) has(j *job) bool {
	p := r[j.source()]
	return p != nil && p.has(j.dec.ID)
}

// taskOf returns the ID of the task that a decision of the job's ID was settled
// on; "": it named its task by ID.
func (r recentIDs) taskOf(j *job) string { return r[j.source()].taskOf(j.dec.ID) }

// add notes that the job's ID was settled with a result on a task. An ID that is
// only the record's coordinates can't recur.
func (r recentIDs) add(j *job, taskID string) {
	if !j.dec.OwnID {
		return
	}
	p := r[j.source()]
	if p == nil {
		p = newRecent()
		r[j.source()] = p
	}
	p.add(j.dec.ID)
	if j.keyed() {
		p.setTask(j.dec.ID, taskID)
	}
}

// recent remembers the latest IDs of one partition, so that a decision that was
// sent twice is carried out once. It holds hashes of 128 bits with seeds of its
// own: 16 bytes per ID whatever its length, and no sender can make two IDs that
// look the same. At its full size it takes about half a MiB, and about one MiB
// more where all decisions name their tasks by alias or type. It is pure except
// for the seeds.
type recent struct {
	seeds [2]maphash.Seed
	ring  [][2]uint64
	next  int // where the next ID goes once the ring is full
	known map[[2]uint64]struct{}
	tasks map[[2]uint64]string // of decisions by alias or type, so that a duplicate's result can name the task
}

func newRecent() *recent {
	return &recent{
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		known: make(map[[2]uint64]struct{}),
		tasks: make(map[[2]uint64]string),
	}
}

func (r *recent) hash(id string) [2]uint64 {
	return [2]uint64{maphash.String(r.seeds[0], id), maphash.String(r.seeds[1], id)}
}

func (r *recent) has(id string) bool {
	_, ok := r.known[r.hash(id)]
	return ok
}

func (r *recent) setTask(id, taskID string) { r.tasks[r.hash(id)] = taskID }

func (r *recent) taskOf(id string) string { return r.tasks[r.hash(id)] }

func (r *recent) add(id string) {
	h := r.hash(id)
	if _, ok := r.known[h]; ok {
		return
	}
	r.known[h] = struct{}{}
	if len(r.ring) < recentSize {
		r.ring = append(r.ring, h)
		return
	}
	delete(r.known, r.ring[r.next])
	delete(r.tasks, r.ring[r.next])
	r.ring[r.next] = h
	r.next = (r.next + 1) % recentSize
}
