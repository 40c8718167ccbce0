package term

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progressInterval is the time between two lines of progress off a terminal.
const progressInterval = 5 * time.Second

// Progress shows the state of long work: on a terminal one line that is
// rewritten, elsewhere a new line every few seconds.
type Progress struct {
	out      io.Writer
	terminal bool
	text     string    // last shown
	at       time.Time // of the last line off a terminal; at first, the start
}

// NewProgress returns a Progress that writes to out.
func NewProgress(out io.Writer) *Progress {
	return &Progress{out: out, terminal: IsTerminal(out), at: time.Now()}
}

// Set shows text, unless it is what was shown last.
func (p *Progress) Set(text string) {
	if text != p.text && p.due() {
		p.show(text)
	}
}

// due reports whether a text may be shown now.
func (p *Progress) due() bool {
	return p.terminal || time.Since(p.at) >= progressInterval
}

func (p *Progress) show(text string) {
	p.text, p.at = text, time.Now()
	if p.terminal {
		fmt.Fprintf(p.out, "\r\033[K%s", text)
	} else {
		fmt.Fprintln(p.out, text)
	}
}

// Finish clears the line on a terminal.
func (p *Progress) Finish() {
	if p.terminal {
		fmt.Fprint(p.out, "\r\033[K")
	}
}

// Counter is a Progress that counts: on a terminal it is a bar, elsewhere each
// line has the count, the rate and the time left.
type Counter struct {
	progress *Progress
	bar      *progressbar.ProgressBar // nil off a terminal
	what     string
	total    int64     // -1: not known
	first    int64     // count at start
	start    time.Time // of the rate
}

// NewCounter returns a Counter that starts at 0. The total is -1 if it is not
// known.
func NewCounter(out io.Writer, what string, total int64) *Counter {
	c := &Counter{progress: NewProgress(out), what: what, total: total, start: time.Now()}
	if c.progress.terminal {
		c.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(out), progressbar.OptionSetDescription(what),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("decisions"),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionFullWidth(), progressbar.OptionClearOnFinish())
	}
	return c
}

// Start restarts the clock of the rate with n already done.
func (c *Counter) Start(n int64) {
	c.first, c.start = n, time.Now()
	if c.bar != nil {
		_ = c.bar.Set64(n)
	}
}

// Set shows that n are done.
func (c *Counter) Set(n int64) {
	switch {
	case c.bar != nil:
		_ = c.bar.Set64(n)
	case c.progress.due():
		c.progress.show(c.line(n))
	}
}

// line formats a count as "1,200 of 5,000 settled, 240/s, 16s left".
func (c *Counter) line(n int64) string {
	of, left := "", ""
	rate := float64(n-c.first) / time.Since(c.start).Seconds()
	if c.total >= 0 {
		of = " of " + Commas(c.total)
		if rate > 0 {
			left = fmt.Sprintf(", %v left", (time.Duration(float64(c.total-n) / rate * float64(time.Second))).Round(time.Second))
		}
	}
	return fmt.Sprintf("%s%s %s, %.0f/s%s", Commas(n), of, c.what, rate, left)
}

// Finish clears the bar.
func (c *Counter) Finish() {
	if c.bar != nil {
		_ = c.bar.Finish()
	}
}
