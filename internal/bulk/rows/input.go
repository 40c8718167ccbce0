package rows

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Input is the files of one batch, in order. They are read several times, so what
// can be read once alone, such as a pipe, is copied to a temporary file first.
type Input struct {
	files []inputFile
}

// Stdin is the name by which Open takes standard input.
const Stdin = "-"

// Open opens the files by their names. dir is where copies go; empty means the
// system's folder for temporary files. The caller closes the Input.
func Open(ctx context.Context, names []string, stdin io.Reader, dir string) (_ *Input, err error) {
	in := &Input{}
	defer func() {
		if err != nil {
			in.Close()
		}
	}()
	if len(names) >= maxFiles {
		return nil, fmt.Errorf("%d files; the limit is %d", len(names), maxFiles-1)
	}
	for _, name := range names {
		f, err := openInput(ctx, name, stdin, dir)
		if err != nil {
			return nil, err
		}
		in.files = append(in.files, f)
		for i := range len(in.files) - 1 {
			if same, err := in.isFile(i, f.file); err != nil {
				return nil, err
			} else if same {
				return nil, fmt.Errorf("%s is given twice (as %s)", name, in.files[i].name)
			}
		}
	}
	return in, nil
}

// Close closes the files.
func (in *Input) Close() {
	for _, f := range in.files {
		f.file.Close()
	}
}

// Size is the size of all files as they are stored, in bytes.
func (in *Input) Size() int64 {
	n := int64(0)
	for _, f := range in.files {
		n += f.size
	}
	return n
}

// Names are the files' names for messages.
func (in *Input) Names() []string {
	names := make([]string, len(in.files))
	for i, f := range in.files {
		names[i] = f.name
	}
	return names
}

// Has says whether path is one of the files, by whatever name.
func (in *Input) Has(path string) (bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, f := range in.files {
		own, err := f.file.Stat()
		if err != nil {
			return false, err
		}
		if os.SameFile(info, own) {
			return true, nil
		}
	}
	return false, nil
}

func (in *Input) isFile(i int, file *os.File) (bool, error) {
	a, err := in.files[i].file.Stat()
	if err != nil {
		return false, err
	}
	b, err := file.Stat()
	if err != nil {
		return false, err
	}
	return os.SameFile(a, b), nil
}

// unchanged is an error where a file is not what it was when it was opened, as far
// as its size and time say.
func (in *Input) unchanged() error {
	for _, f := range in.files {
		if f.copied {
			continue
		}
		info, err := f.file.Stat()
		if err != nil {
			return err
		}
		if info.Size() != f.size || !info.ModTime().Equal(f.changed) {
			return fmt.Errorf("%s was changed while it was read", f.name)
		}
	}
	return nil
}

// read gives each row of all files to each, which must not keep Raw, with its
// place. After each file ended is called; nil means nobody asks.
func (in *Input) read(ctx context.Context, o Options, each func(*Row, place) error, ended func(*Reader, inputFile) error) error {
	for i, f := range in.files {
		rows, err := NewReader(io.NewSectionReader(f.file, 0, f.size), o)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		err = in.readFile(ctx, i, rows, each)
		if err == nil && ended != nil {
			err = ended(rows, f)
		}
		o.Before = rows.number
		rows.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func (in *Input) readFile(ctx context.Context, i int, rows *Reader, each func(*Row, place) error) error {
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		row, err := rows.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", in.files[i].name, err)
		}
		if err := each(&row, placeOf(i, row.Line)); err != nil {
			return err
		}
	}
}

// paths are the files' absolute paths, as far as they have one.
func (in *Input) paths() []string {
	var paths []string
	for _, f := range in.files {
		if f.copied {
			continue
		}
		path, err := filepath.Abs(f.name)
		if err != nil {
			path = f.name
		}
		paths = append(paths, path)
	}
	return paths
}
