package backfill

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// WriteRejects writes a CSV file of all invalid rows: file, line, id, fault, and
// the row as it stands (of one that is longer than MaxLine the beginning). Where
// there are none, it has its header alone. It replaces what was at the path at
// once, when all of it is on the disk.
func (b *Batch) WriteRejects(ctx context.Context, path string) error {
	if own, err := b.in.Has(path); err != nil {
		return fmt.Errorf("write the rejects: %w", err)
	} else if own {
		return fmt.Errorf("write the rejects: %s is a file of the batch itself", path)
	}
	err := replaceFile(path, func(f *os.File) error {
		buffer := bufio.NewWriterSize(f, 64<<10)
		w := csv.NewWriter(buffer)
		if err := w.Write([]string{"file", "line", "id", "fault", "row"}); err != nil {
			return err
		}
		if b.Invalid > 0 {
			err := b.read(ctx, func(r *checkedRow) error {
				if r.kind != Invalid {
					return nil
				}
				return w.Write([]string{b.in.files[r.at.file()].name, strconv.Itoa(r.Line), r.id, r.text, string(r.Raw)})
			})
			if err != nil {
				return err
			}
		}
		w.Flush()
		return errors.Join(w.Error(), buffer.Flush())
	})
	if err != nil {
		return fmt.Errorf("write the rejects: %w", err)
	}
	return nil
}

// replaceFile writes a file beside path and, when it is on the disk, gives it that
// name: whoever opens path finds the old content or the new one, never a part.
// A path that is no file, such as /dev/null, stays what it is and is written to.
func replaceFile(path string, write func(*os.File) error) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(f), f.Close())
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // which fails once it has its new name
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder makes a new name in a folder last.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
