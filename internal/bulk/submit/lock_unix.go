//go:build unix

package submit

import (
	"errors"
	"os"
	"syscall"
)

// lockFile locks the file until it is closed, which the end of the process does too.
func lockFile(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrJournalBusy
	}
	return err
}
