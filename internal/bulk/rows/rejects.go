package rows

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"strconv"

	"verdict/internal/bulk/atomicfile"
)

// WriteRejects writes a CSV file of all invalid rows: file, line, id, fault, and the row
// as it is in its file (of one longer than MaxLine, the beginning). Without invalid rows
// the file has only its header. It replaces a file at path atomically.
func (b *Batch) WriteRejects(ctx context.Context, path string) error {
	if own, err := b.in.Has(path); err != nil {
		return fmt.Errorf("write the rejects: %w", err)
	} else if own {
		return fmt.Errorf("write the rejects: %s is a file of the batch itself; choose another", path)
	}
	err := atomicfile.Replace(path, func(f *os.File) error {
		buffer := bufio.NewWriterSize(f, 64<<10)
		w := csv.NewWriter(buffer)
		if err := w.Write([]string{"file", "line", "id", "fault", "row"}); err != nil {
			return err
		}
		if b.Invalid > 0 {
			err := b.Each(ctx, func(r *CheckedRow) error {
				if r.kind != Invalid {
					return nil
				}
				return w.Write([]string{b.in.files[r.place.file()].name, strconv.Itoa(r.Line), r.id, r.text, string(r.Raw)})
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
