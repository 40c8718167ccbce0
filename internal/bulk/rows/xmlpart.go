package rows

import (
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
)

// xmlPart reads the XML of a part of a workbook. What it holds at a time is bounded,
// whatever the part unpacks to: the bytes between two calls of reset, and the depth.
type xmlPart struct {
	decoder *xml.Decoder
	in      boundedBytes
	name    string
	depth   int
	limit   int64
}

// maxXMLDepth bounds how deep elements of a workbook may nest.
const maxXMLDepth = 64

var errXMLTooLarge = errors.New("an element is too large")

// boundedBytes reads bytes until none are left.
type boundedBytes struct {
	r    *bufio.Reader
	left int64
}

// ReadByte returns the next byte. The decoder reads by it alone.
func (b *boundedBytes) ReadByte() (byte, error) {
	if b.left--; b.left < 0 {
		return 0, errXMLTooLarge
	}
	return b.r.ReadByte()
}

// Read is there to satisfy io.Reader.
func (b *boundedBytes) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c, err := b.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = c
	return 1, nil
}

// newXMLPart returns a reader of a part of which at most limit bytes are read between
// two calls of reset.
func newXMLPart(name string, r io.Reader, limit int64) *xmlPart {
	p := &xmlPart{name: name, in: boundedBytes{bufio.NewReaderSize(r, 32<<10), limit}, limit: limit}
	p.decoder = xml.NewDecoder(&p.in)
	return p
}

func (p *xmlPart) reset() { p.in.left = p.limit }

// next returns the next token; io.EOF after the last.
func (p *xmlPart) next() (xml.Token, error) {
	token, err := p.decoder.Token()
	if err == io.EOF {
		return nil, err
	}
	if err == nil {
		switch token.(type) {
		case xml.StartElement:
			if p.depth++; p.depth > maxXMLDepth {
				err = errors.New("elements are nested too deeply")
			}
		case xml.EndElement:
			p.depth--
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the workbook is damaged: %s: %w", p.name, err)
	}
	return token, nil
}

// attribute returns the value of an attribute, "" if there is none.
func attribute(e *xml.StartElement, name string) string {
	for i := range e.Attr {
		if e.Attr[i].Name.Local == name {
			return e.Attr[i].Value
		}
	}
	return ""
}
