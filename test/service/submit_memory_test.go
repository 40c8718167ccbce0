//go:build linux

package service_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"verdict/test/fixture"
)

// TestSubmitMemoryIsIndependentOfTheFile compares the most memory that two submits
// use.
func TestSubmitMemoryIsIndependentOfTheFile(t *testing.T) {
	if fixture.RaceEnabled() {
		t.Skip("the memory of the race detector would be measured")
	}
	t.Parallel()
	few, many := submitPeak(t, 20_000), submitPeak(t, 200_000)
	t.Logf("20,000 rows: %d KiB, 200,000 rows: %d KiB", few, many)
	if few < 1<<10 || many > few+24<<10 {
		t.Errorf("200,000 rows take %d KiB, and 20,000 take %d KiB", many, few)
	}
}

// submitPeak returns the most memory, in KiB, that a dry run of n rows uses. It asks
// the running process: what the kernel reports after its end may be its parent's.
func submitPeak(t *testing.T, n int) (peak int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "verdict", "submit", "--dry-run", generatedFile(t, n))
	cmd.Env = environ()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("%v: %s", err, out.String())
			}
			return peak
		case <-ticker.C:
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
			if _, after, ok := strings.Cut(string(status), "VmHWM:"); ok && err == nil {
				_, _ = fmt.Sscan(after, &peak)
			}
		}
	}
}
