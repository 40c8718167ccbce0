package rows

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Input holds the files of one batch, in order. They are read several times, so Open
// copies what can be read only once, such as a pipe, to a temporary file.
type Input struct {
	files []inputFile
}

// Stdin is the name of standard input for Open.
const Stdin = "-"

// Open opens files by name. Copies go to dir; if it is empty, to the system's folder
// for temporary files. The caller closes the Input.
func Open(ctx context.Context, names []string, stdin io.Reader, dir string) (_ *Input, err error) {
	in := &Input{}
	defer func() {
		if err != nil {
			in.Close()
		}
	}()
	if len(names) >= maxFiles {
		return nil, fmt.Errorf("%d files given; the limit is %d", len(names), maxFiles-1)
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
				return nil, fmt.Errorf("%s is given twice (also as %s)", name, in.files[i].name)
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

// Names returns the files' names for messages.
func (in *Input) Names() []string {
	names := make([]string, len(in.files))
	for i, f := range in.files {
		names[i] = f.name
	}
	return names
}

// Has reports whether path is one of the files, under any name.
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

// checkUnchanged returns an error if the size or modification time of a file changed
// since it was opened.
func (in *Input) checkUnchanged() error {
	for _, f := range in.files {
		if f.copied {
			continue
		}
		info, err := f.file.Stat()
		if err != nil {
			return err
		}
		if info.Size() != f.size || !info.ModTime().Equal(f.modified) {
			return fmt.Errorf("%s changed while it was being read", f.name)
		}
	}
	return nil
}

// read calls each with every row of all files, and with the row's place; each must
// not keep Raw. After each file it calls ended.
func (in *Input) read(ctx context.Context, o Options, each func(*Row, place) error, ended func(*Reader, inputFile) error) error {
	for i, f := range in.files {
		reader, err := NewReader(&stoppableFile{ctx, io.NewSectionReader(f.file, 0, f.size)}, o)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		in.files[i].unit = reader.unit()
		err = in.readFile(ctx, i, reader, each)
		if err == nil {
			err = ended(reader, f)
		}
		o.Before = reader.number
		reader.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func (in *Input) readFile(ctx context.Context, i int, reader *Reader, each func(*Row, place) error) error {
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		row, err := reader.Next()
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

// paths returns the absolute paths of the files that have one.
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
