//go:build unix

package submit

import (
	"errors"
	"os"
	"syscall"
)

// lockFile takes the file's lock for as long as it is open, which ends with the
// process too, however that ends.
func lockFile(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrJournalBusy
	}
	return err
}
