package rows

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"verdict/internal/bulk/spill"
)

// inputFile is one file of an Input.
type inputFile struct {
	name     string // for messages
	file     *os.File
	size     int64 // as stored, in bytes
	modified time.Time
	copied   bool   // file is a temporary copy
	unit     string // what the number of a row counts: line, row or object; set when it is read
}

func openInput(ctx context.Context, name string, stdin io.Reader, dir string) (inputFile, error) {
	f := inputFile{name: name, unit: "line"}
	source := stdin
	if name == Stdin {
		f.name = "standard input"
	} else {
		file, err := os.Open(name)
		if err != nil {
			return f, err
		}
		info, err := file.Stat()
		switch {
		case err == nil && info.IsDir():
			err = fmt.Errorf("%s is a folder; name the files in it", name)
		case err == nil && info.Mode().IsRegular():
			f.file, f.size, f.modified = file, info.Size(), info.ModTime()
			return f, nil
		}
		defer file.Close()
		if err != nil {
			return f, err
		}
		source = file
	}
	file, err := spill.TempFile(dir)
	if err != nil {
		return f, err
	}
	f.file, f.copied = file, true
	if f.size, err = io.Copy(file, &stoppable{ctx, source}); err != nil {
		file.Close()
		return f, fmt.Errorf("copy %s to a temporary file: %w", f.name, err)
	}
	return f, nil
}

// stoppableFile is a file that can't be read any more once its context has ended.
type stoppableFile struct {
	ctx context.Context
	*io.SectionReader
}

// ReadAt reads, unless the context has ended.
func (s *stoppableFile) ReadAt(p []byte, at int64) (int, error) {
	if err := context.Cause(s.ctx); err != nil {
		return 0, err
	}
	return s.SectionReader.ReadAt(p, at)
}

// stoppable is a reader that fails once its context has ended.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

// Read reads from r, unless the context has ended.
func (s *stoppable) Read(p []byte) (int, error) {
	if err := context.Cause(s.ctx); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}
