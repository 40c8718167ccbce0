//go:build unix

package submit

import (
	"errors"
	"os"
	"syscall"
)

// lockFile locks the file until it is closed, at the latest when the process ends.
func lockFile(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrJournalBusy
	}
	return err
}
