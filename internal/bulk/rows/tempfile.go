package rows

import (
	"fmt"
	"os"
)

// unnamed is a temporary file that is gone when it is closed, also by a crash.
func tempFile(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "verdict-submit-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary file: %w (TMPDIR says where)", err)
	}
	// Where an open file can't be removed it stays behind; that is all it does.
	_ = os.Remove(f.Name())
	return f, nil
}
