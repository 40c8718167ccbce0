package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"verdict/configs"
)

func TestDurationsInTheLogHaveTheirUnitInBothForms(t *testing.T) {
	for format, want := range map[configs.LogFormat]string{configs.LogJSON: `"wait":"1.5s"`, configs.LogText: "wait=1.5s"} {
		var out bytes.Buffer
		newLogger(Process{Err: &out}, configs.Log{Level: configs.LogInfo, Format: format}).Info("holding calls", "wait", 1500*time.Millisecond)
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s: no %s in %s", format, want, out.String())
		}
	}
}
