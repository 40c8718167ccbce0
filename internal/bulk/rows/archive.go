package rows

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// maxIndex bounds what is read of a zip archive to learn which files are in it, in
// bytes.
const maxIndex = 8 << 20

// archive is a zip archive: a compressed file, or a workbook.
type archive struct{ files []*zip.File }

// limitedIndex is a file of which no more than left bytes can be read; below zero: all.
type limitedIndex struct {
	randomAccess
	left     int64
	exceeded bool
}

var errIndex = fmt.Errorf("its index is larger than %d MiB", maxIndex>>20)

// ReadAt reads unless too much was read.
func (l *limitedIndex) ReadAt(p []byte, at int64) (int, error) {
	if l.left >= 0 {
		if l.left -= int64(len(p)); l.left < 0 {
			l.exceeded, l.left = true, 0
			return 0, errIndex
		}
	}
	return l.randomAccess.ReadAt(p, at)
}

// openArchive opens a zip archive; nil for another file.
func openArchive(file randomAccess) (*archive, error) {
	var magic [4]byte
	if _, err := file.ReadAt(magic[:], 0); err != nil || string(magic[:]) != "PK\x03\x04" {
		return nil, nil
	}
	limited := &limitedIndex{file, maxIndex, false}
	z, err := zip.NewReader(limited, file.Size())
	if limited.exceeded {
		err = errIndex
	}
	if err != nil {
		return nil, fmt.Errorf("open as a zip archive or workbook: %w; it may be cut short", err)
	}
	limited.left = -1
	a := &archive{}
	for _, f := range z.File {
		if strings.HasSuffix(f.Name, "/") || strings.HasPrefix(f.Name, "__MACOSX/") || path.Base(f.Name) == ".DS_Store" {
			continue
		}
		if f.Flags&1 != 0 {
			return nil, errors.New("the zip archive is protected by a password; unpack it and submit the file in it")
		}
		a.files = append(a.files, f)
	}
	return a, nil
}

// find returns the file of a name, without regard to case; nil if there is none.
func (a *archive) find(name string) *zip.File {
	for _, f := range a.files {
		if strings.EqualFold(strings.TrimPrefix(f.Name, "/"), strings.TrimPrefix(name, "/")) {
			return f
		}
	}
	return nil
}

// isWorkbook reports whether the archive is a document and not a compressed file.
func (a *archive) isWorkbook() bool {
	return a.find("[Content_Types].xml") != nil || a.find("mimetype") != nil || a.find("Index/Document.iwa") != nil
}

// only opens the only file of the archive.
func (a *archive) only() (io.ReadCloser, error) {
	switch len(a.files) {
	case 0:
		return nil, errors.New("the zip archive is empty")
	case 1:
		return openMember(a.files[0])
	}
	names := make([]string, len(a.files))
	for i, f := range a.files {
		names[i] = quote(f.Name)
	}
	return nil, fmt.Errorf("the zip archive has %d files: %s; unpack it and name the ones to submit", len(names), list(names))
}

func openMember(f *zip.File) (io.ReadCloser, error) {
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("open %s in the zip archive: %w; pack it again with the usual method (deflate)", quote(f.Name), err)
	}
	return r, nil
}
