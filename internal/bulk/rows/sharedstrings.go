package rows

import (
	"bufio"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"

	"verdict/internal/bulk/spill"
)

const (
	// maxSharedStrings bounds the texts of a workbook, in bytes of temporary disk space.
	maxSharedStrings = 2 << 30
	// maxSharedCount bounds the number of texts, of which each takes 8 bytes of it.
	maxSharedCount = 32 << 20
	// maxSharedString bounds a text with its markup, in bytes. Excel's own limit is
	// 32,767 characters.
	maxSharedString = 1 << 20
)

// sharedStrings are the texts of a workbook, which its cells refer to by number. They
// are kept in temporary files, so that memory does not grow with them.
type sharedStrings struct {
	count      int64
	text, ends fileWindow // all texts, concatenated; where each one ends, 8 bytes each
}

// readSharedStrings reads the part with the texts.
func readSharedStrings(r io.Reader, dir string) (_ *sharedStrings, err error) {
	s := &sharedStrings{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.text.file, err = spill.TempFile(dir); err != nil {
		return nil, err
	}
	if s.ends.file, err = spill.TempFile(dir); err != nil {
		return nil, err
	}
	texts, ends := bufio.NewWriterSize(s.text.file, 64<<10), bufio.NewWriterSize(s.ends.file, 64<<10)
	part := newXMLPart("the shared strings", r, maxSharedString)
	var in textElement
	for {
		token, err := part.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		in.token(token)
		end, ok := token.(xml.EndElement)
		if !ok || end.Name.Local != "si" {
			continue
		}
		if s.text.size += int64(len(in.text)); s.text.size > maxSharedStrings {
			return nil, fmt.Errorf("the workbook has more than %d GiB of text; save the sheet as CSV", maxSharedStrings>>30)
		}
		if _, err := texts.Write(in.text); err != nil {
			return nil, fmt.Errorf("write a temporary file: %w", err)
		}
		if _, err := ends.Write(binary.LittleEndian.AppendUint64(nil, uint64(s.text.size))); err != nil {
			return nil, fmt.Errorf("write a temporary file: %w", err)
		}
		if s.count++; s.count > maxSharedCount {
			return nil, fmt.Errorf("the workbook has more than %d different texts; save the sheet as CSV", maxSharedCount)
		}
		in.text = in.text[:0]
		part.reset()
	}
	s.ends.size = 8 * s.count
	if err := errors.Join(texts.Flush(), ends.Flush()); err != nil {
		return nil, fmt.Errorf("write a temporary file: %w", err)
	}
	return s, nil
}

// get returns a text, which is valid until the next call.
func (s *sharedStrings) get(i int64) ([]byte, error) {
	if s == nil || i < 0 || i >= s.count {
		return nil, fmt.Errorf("the workbook is damaged: a cell refers to text %d, which is not there", i)
	}
	from := int64(0)
	first, n := i-1, int64(16)
	if i == 0 {
		first, n = 0, 8
	}
	b, err := s.ends.read(8*first, n)
	if err != nil {
		return nil, err
	}
	if i > 0 {
		from, b = int64(binary.LittleEndian.Uint64(b)), b[8:]
	}
	return s.text.read(from, int64(binary.LittleEndian.Uint64(b))-from)
}

func (s *sharedStrings) close() {
	if s == nil {
		return
	}
	for _, w := range []*fileWindow{&s.text, &s.ends} {
		if w.file != nil {
			w.file.Close()
		}
	}
}

// fileWindow reads a file at any place, and keeps what lies around the last one: texts
// are numbered in the order in which a sheet uses them first.
type fileWindow struct {
	file *os.File
	size int64
	at   int64
	buf  []byte
}

// read returns n bytes, which are valid until the next call.
func (w *fileWindow) read(at, n int64) ([]byte, error) {
	if at < w.at || at+n > w.at+int64(len(w.buf)) {
		size := min(max(16<<10, n), w.size-at)
		if int64(cap(w.buf)) < size {
			w.buf = make([]byte, size)
		}
		w.buf, w.at = w.buf[:size], at
		if _, err := w.file.ReadAt(w.buf, at); err != nil {
			w.buf = w.buf[:0]
			return nil, fmt.Errorf("read a temporary file: %w", err)
		}
	}
	return w.buf[at-w.at:][:n], nil
}

// textElement collects the text of the t elements of a shared string or a cell, without
// that of pronunciation guides (rPh).
type textElement struct {
	text     []byte
	in       bool // a t element
	phonetic int  // depth within rPh
}

func (e *textElement) token(token xml.Token) {
	switch t := token.(type) {
	case xml.StartElement:
		switch {
		case e.phonetic > 0 || t.Name.Local == "rPh":
			e.phonetic++
		case t.Name.Local == "t":
			e.in = true
		}
	case xml.EndElement:
		if e.phonetic > 0 {
			e.phonetic--
		}
		e.in = false
	case xml.CharData:
		if e.in {
			e.text = append(e.text, t...)
		}
	}
}
