package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows how far long work is: a bar on a terminal, elsewhere a line
// every few seconds.
type progress struct {
	out   io.Writer
	what  string
	total int64 // -1: not known
	bar   *progressbar.ProgressBar
	began time.Time
	said  time.Time
	first int64 // what was done before it began
	now   int64
}

// progressEvery is the time between two lines off a terminal.
const progressEvery = 5 * time.Second

func newProgress(out io.Writer, what string, total int64) *progress {
	p := &progress{out: out, what: what, total: total, began: time.Now(), said: time.Now()}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(out), progressbar.OptionSetDescription(what),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("decisions"),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionFullWidth(), progressbar.OptionClearOnFinish())
	}
	return p
}

// from tells how much was done before, which says nothing of the rate.
func (p *progress) from(n int64) {
	p.first, p.now, p.began = n, n, time.Now()
	if p.bar != nil {
		_ = p.bar.Set64(n)
	}
}

// set tells how much is done.
func (p *progress) set(n int64) {
	p.now = n
	if p.bar != nil {
		_ = p.bar.Set64(n)
		return
	}
	if time.Since(p.said) < progressEvery {
		return
	}
	p.said = time.Now()
	of, left := "", ""
	rate := float64(n-p.first) / time.Since(p.began).Seconds()
	if p.total >= 0 {
		of = " of " + commas(p.total)
		if rate > 0 {
			left = fmt.Sprintf(", %v left", (time.Duration(float64(p.total-n) / rate * float64(time.Second))).Round(time.Second))
		}
	}
	fmt.Fprintf(p.out, "%s%s %s, %.0f/s%s\n", commas(n), of, p.what, rate, left)
}

// finish takes the bar away.
func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
