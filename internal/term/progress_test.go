package term

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgressPrintsALineNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := NewProgress(&out)
		p.Set("one") // too early
		time.Sleep(progressInterval)
		p.Set("two")
		p.Set("three") // too early
		time.Sleep(progressInterval)
		p.Set("two") // unchanged
		p.Set("four")
		p.Finish()
		if got, want := out.String(), "two\nfour\n"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

func TestProgressRewritesOneLineOnATerminal(t *testing.T) {
	var out bytes.Buffer
	p := NewProgress(&out)
	p.terminal = true
	p.Set("one")
	p.Set("one")
	p.Set("two")
	p.Finish()
	if got, want := out.String(), "\r\033[Kone\r\033[Ktwo\r\033[K"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestCounterShowsRateAndTimeLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		c := NewCounter(&out, "settled", 5000)
		c.Set(100) // too early
		time.Sleep(progressInterval)
		c.Start(1000) // does not count for the rate
		time.Sleep(progressInterval)
		c.Set(2000)
		c.Finish()
		if got, want := out.String(), "2,000 of 5,000 settled, 200/s, 15s left\n"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		out.Reset()
		c = NewCounter(&out, "rows checked", -1)
		time.Sleep(progressInterval)
		c.Set(50)
		if got, want := out.String(), "50 rows checked, 10/s\n"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}
