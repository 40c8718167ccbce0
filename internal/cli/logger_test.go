package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"verdict/configs"
)

func TestLoggerWritesDurationsWithTheirUnit(t *testing.T) {
	for format, want := range map[configs.LogFormat]string{configs.LogJSON: `"wait":"1.5s"`, configs.LogText: "wait=1.5s"} {
		var out bytes.Buffer
		newLogger(Process{Err: &out}, configs.Log{Level: configs.LogInfo, Format: format}).Info("holding calls", "wait", 1500*time.Millisecond)
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s: no %s in %s", format, want, out.String())
		}
	}
}

func TestLogRetriesLogsAnErrorWhenItChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := logRetries(newLogger(Process{Err: &out}, configs.Log{Level: configs.LogInfo, Format: configs.LogJSON}))
		lines := func() int { return strings.Count(out.String(), "\n") }
		one, two := errors.New("one"), errors.New("two")
		for _, c := range []struct {
			wait time.Duration
			err  error
			want int
		}{
			{0, one, 1}, {time.Second, one, 1}, {0, two, 2}, {retryLogInterval - 1, two, 2}, {1, two, 3},
		} {
			time.Sleep(c.wait)
			log(c.err)
			if got := lines(); got != c.want {
				t.Errorf("after %v and %v: %d lines, want %d", c.wait, c.err, got, c.want)
			}
		}
	})
}
