//go:build linux

package service_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestASubmitsMemoryDoesNotFollowItsFile compares the memory that processes took
// at their peak. DESIGN.md has the figures of a million rows.
func TestASubmitsMemoryDoesNotFollowItsFile(t *testing.T) {
	if raceEnabled() {
		t.Skip("the race detector's own memory would be measured")
	}
	few, many := submitPeak(t, 20_000), submitPeak(t, 200_000)
	t.Logf("20,000 rows: %d KiB, 200,000 rows: %d KiB", few, many)
	if few < 1<<10 || many > few+24<<10 {
		t.Errorf("200,000 rows take %d KiB, 20,000 take %d", many, few)
	}
}

// submitPeak is the most that a process took, in KiB, that looked at so many rows.
// What the kernel says of a child that has ended may be of its parent.
func submitPeak(t *testing.T, rows int) (peak int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "decisions.jsonl")
	if err := os.WriteFile(file, madeUpFile(t, rows), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "verdict", "submit", "--dry-run", file)
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
