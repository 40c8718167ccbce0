package recent

// index finds a print by one of its hashes. It is a hash table with linear
// probing that holds nothing but the prints' places, since the prints themselves
// have the hashes. Of several prints with one hash it knows the one that was put
// last. Its methods are called with the same prints and hash each time.
type index struct {
	slots []uint16 // place + 1; 0: free. Their number is a power of 2, or 0.
	used  int
}

const firstSlots = 16

// at returns the slot of a hash: the one that has it, or the free one where it
// belongs.
func (x *index) at(prints []Print, hash func(*Print) uint64, h uint64) int {
	mask := len(x.slots) - 1
	for s := int(h) & mask; ; s = (s + 1) & mask {
		if n := x.slots[s]; n == 0 || hash(&prints[n-1]) == h {
			return s
		}
	}
}

// find returns the place of the print with a hash; -1: there is none.
func (x *index) find(prints []Print, hash func(*Print) uint64, h uint64) int {
	if x.used == 0 {
		return -1
	}
	return int(x.slots[x.at(prints, hash, h)]) - 1
}

// put makes the print at a place the one that is found by its hash.
func (x *index) put(prints []Print, hash func(*Print) uint64, place int) {
	if 4*(x.used+1) > 3*len(x.slots) {
		old := x.slots
		x.slots = make([]uint16, max(2*len(old), firstSlots))
		for _, n := range old {
			if n != 0 {
				x.slots[x.at(prints, hash, hash(&prints[n-1]))] = n
			}
		}
	}
	s := x.at(prints, hash, hash(&prints[place]))
	if x.slots[s] == 0 {
		x.used++
	}
	x.slots[s] = uint16(place + 1)
}

// remove forgets the print at a place, unless another one is found by its hash.
func (x *index) remove(prints []Print, hash func(*Print) uint64, place int) {
	if x.used == 0 {
		return
	}
	free := x.at(prints, hash, hash(&prints[place]))
	if int(x.slots[free]) != place+1 {
		return
	}
	// What follows without a gap moves up, unless it would leave the run of slots
	// in which it is looked for.
	mask := len(x.slots) - 1
	for s := (free + 1) & mask; x.slots[s] != 0; s = (s + 1) & mask {
		home := int(hash(&prints[x.slots[s]-1])) & mask
		if (s-home)&mask >= (s-free)&mask {
			x.slots[free] = x.slots[s]
			free = s
		}
	}
	x.slots[free] = 0
	x.used--
}
