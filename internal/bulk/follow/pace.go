package follow

import "time"

// paceMark is how many were settled at a time.
type paceMark struct {
	at      time.Time
	settled int64
}

// paceOver is the time over which the rate is taken.
const paceOver = time.Minute

// keepPace notes where the batch stands after a look. The first look is the first
// mark: what was settled before says nothing of the rate now.
func (f *follower) keepPace() {
	now := time.Now()
	f.pace = append(f.pace, paceMark{now, f.tally.settled()})
	for len(f.pace) > 2 && now.Sub(f.pace[1].at) >= paceOver {
		f.pace = f.pace[1:]
	}
}

func (f *follower) rate(missing int64) (rate float64, left time.Duration) {
	if len(f.pace) < 2 {
		return 0, 0
	}
	first, last := f.pace[0], f.pace[len(f.pace)-1]
	seconds := last.at.Sub(first.at).Seconds()
	if seconds <= 0 || last.settled <= first.settled {
		return 0, 0
	}
	rate = float64(last.settled-first.settled) / seconds
	const most = 365 * 24 * time.Hour
	return rate, time.Duration(min(float64(missing)/rate*float64(time.Second), float64(most)))
}
