package verify

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"strconv"

	"verdict/internal/decision"
)

// reportHeader names the columns of a report. topic, partition and offset are those of the
// decision.
var reportHeader = []string{
	"profile_id", "task_id", "expected", "found", "detail", "decision_id", "line", "topic", "partition", "offset", "checked_at",
}

// report is a CSV file that grows with each difference. A run that continues another one
// cuts off what was written after the checkpoint.
type report struct {
	file *os.File // nil: none is wanted
	size int64
}

// openReport opens a report after its first size bytes; zero: a new one.
func openReport(path string, size int64) (*report, error) {
	if path == "" {
		return &report{}, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("write --report: %w", err)
	}
	r := &report{file: f, size: size}
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() {
		if info.Size() < size {
			f.Close()
			return nil, fmt.Errorf("the report %s is shorter than the interrupted run left it; remove the checkpoint to begin again", path)
		}
		err = f.Truncate(size)
		if err == nil {
			_, err = f.Seek(size, 0)
		}
	}
	if err == nil && size == 0 {
		err = r.write(reportHeader)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("write --report: %w", err)
	}
	return r, nil
}

// add writes the row of a difference.
func (r *report) add(d *Difference) error {
	if r.file == nil {
		return nil
	}
	line := ""
	if d.Line > 0 {
		line = strconv.FormatInt(d.Line, 10)
	}
	err := r.write([]string{
		d.Task.ProfileID, d.Task.TaskID, string(d.Expected), d.Found, d.Detail, d.DecisionID, line,
		d.Origin.Topic, strconv.Itoa(d.Origin.Partition), strconv.FormatInt(d.Origin.Offset, 10), decision.Time{Time: d.At}.String(),
	})
	if err != nil {
		return fmt.Errorf("write --report: %w", err)
	}
	return nil
}

func (r *report) write(row []string) error {
	cells := make([]string, len(row))
	for i := range row {
		cells[i] = decision.Cell(row[i])
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if err := w.Write(cells); err != nil {
		return err
	}
	w.Flush()
	n, err := r.file.Write(b.Bytes())
	r.size += int64(n)
	return err
}

// sync makes what was written survive a crash.
func (r *report) sync() error {
	if r.file == nil {
		return nil
	}
	if err := r.file.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		if info, failed := r.file.Stat(); failed == nil && info.Mode().IsRegular() {
			return fmt.Errorf("write --report: %w", err)
		}
	}
	return nil
}

func (r *report) close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}
