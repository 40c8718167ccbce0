package rows

import (
	"fmt"
	"os"
)

// tempFile opens a temporary file that has no name, so that it is gone when it is
// closed, even by a crash.
func tempFile(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "verdict-submit-")
	if err != nil {
		return nil, fmt.Errorf("create a temporary file (TMPDIR sets its folder): %w", err)
	}
	// Some systems can't remove an open file. There it stays behind, which is harmless.
	_ = os.Remove(f.Name())
	return f, nil
}
