package pacer

import "time"

// counter counts tokens of the present second and the one before it.
type counter struct {
	second int64
	now    int
	before int
}

func (c *counter) add(now time.Time) {
	c.turn(now)
	c.now++
}

func (c *counter) turn(now time.Time) {
	switch s := now.Unix(); {
	case s == c.second:
	case s == c.second+1:
		c.second, c.before, c.now = s, c.now, 0
	default:
		c.second, c.before, c.now = s, 0, 0
	}
}

func (c *counter) perSecond(now time.Time) float64 {
	c.turn(now)
	return float64(max(c.now, c.before))
}
