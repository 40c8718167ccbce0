package follow

import "time"

// pace measures how fast decisions are settled.
type pace struct{ samples []paceSample }

// paceSample is the number of settled decisions at a time.
type paceSample struct {
	at      time.Time
	settled int64
}

// paceWindow is the time over which the rate is measured.
const paceWindow = time.Minute

// add records the number of settled decisions after a round. The first round is the
// baseline: what was settled before says nothing about the current rate.
func (p *pace) add(now time.Time, settled int64) {
	p.samples = append(p.samples, paceSample{now, settled})
	for len(p.samples) > 2 && now.Sub(p.samples[1].at) >= paceWindow {
		p.samples = p.samples[1:]
	}
}

// rate returns decisions settled per second, and the time left for the missing ones;
// zero while not known.
func (p *pace) rate(missing int64) (rate float64, left time.Duration) {
	if len(p.samples) < 2 {
		return 0, 0
	}
	first, last := p.samples[0], p.samples[len(p.samples)-1]
	seconds := last.at.Sub(first.at).Seconds()
	if seconds <= 0 || last.settled <= first.settled {
		return 0, 0
	}
	rate = float64(last.settled-first.settled) / seconds
	const most = 365 * 24 * time.Hour
	return rate, time.Duration(min(float64(missing)/rate*float64(time.Second), float64(most)))
}
