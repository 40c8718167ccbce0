package processor

import "hash/maphash"

// recentSize is how many IDs are remembered a partition.
const recentSize = 10_000

// recent remembers the IDs of the last decisions of one partition that were
// settled with a result, so that one sent twice is carried out once. It holds
// hashes of 128 bits with a seed of its own: 16 bytes an ID whatever its length,
// and no sender can make two IDs that look the same. At its full size it costs
// about half a MiB, and about one more where all decisions name their tasks by
// alias or type. It is pure but for the seeds.
type recent struct {
	seeds [2]maphash.Seed
	ring  [][2]uint64
	next  int // where the next ID goes once the ring is full
	known map[[2]uint64]struct{}
	// tasks is the task that a decision by alias or type was about, so that the
	// result of its duplicate can name it.
	tasks map[[2]uint64]string
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

// name notes the task that an ID that was added was about.
func (r *recent) name(id, taskID string) { r.tasks[r.hash(id)] = taskID }

// taskOf is the task that was noted, if any.
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
