package prove

import (
	"bufio"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

const (
	// maxLine bounds a line in bytes, with its end. A ledger's entry has at most 1 MiB.
	maxLine = 2 << 20
	// maxDecisionLine bounds the line of a decision.
	maxDecisionLine = 512 << 10
	// maxParts and maxPartBytes bound what the line of a decision says of other records.
	maxParts, maxPartBytes = 200, 256 << 10
)

// What surrounds a line's hash and the signature, and their sizes.
const (
	hashOpen      = `,"hash":"`
	signatureOpen = `,"signature":"`
	closing       = `"}`
	hashSize      = 2 * sha256.Size
)

var signatureSize = base64.StdEncoding.EncodedLen(ed25519.SignatureSize)

// firstHash is the hash before the first line's.
var firstHash = strings.Repeat("0", hashSize)

// chainHash returns the hash of a line, from the hash of the one before it and the line's
// content: all of its bytes before hashOpen.
func chainHash(previous string, content []byte) string {
	h := sha256.New()
	_, _ = io.WriteString(h, previous)
	_, _ = h.Write(content)
	return hex.EncodeToString(h.Sum(nil))
}

// signedContent is what the signature covers: the last hash, which covers all lines.
func signedContent(hash string) []byte { return []byte("verdict evidence 1\n" + hash) }

// lineWriter writes lines.
type lineWriter struct {
	w     *bufio.Writer
	hash  string // of the last line
	lines int64
}

func newLineWriter(w io.Writer) *lineWriter {
	return &lineWriter{w: bufio.NewWriterSize(w, 64<<10), hash: firstHash}
}

// write writes a line. If sign is not nil, the line is the last one and is signed.
func (l *lineWriter) write(line any, sign ed25519.PrivateKey) error {
	content, err := json.Marshal(line)
	if err != nil {
		return err
	}
	return l.writeContent(content[:len(content)-1], sign)
}

// writeContent writes a line of which all but the closing brace is given.
func (l *lineWriter) writeContent(content []byte, sign ed25519.PrivateKey) error {
	if n := len(content) + 300; n > maxLine {
		return fmt.Errorf("line %d of the evidence would have %d bytes, and may have %d", l.lines+1, n, maxLine)
	}
	l.lines++
	l.hash = chainHash(l.hash, content)
	tail := hashOpen + l.hash
	if sign != nil {
		tail += `"` + signatureOpen + base64.StdEncoding.EncodeToString(ed25519.Sign(sign, signedContent(l.hash)))
	}
	_, _ = l.w.Write(content) // Flush returns the first error
	_, _ = l.w.WriteString(tail + closing)
	return l.w.WriteByte('\n')
}

// cutLine returns the parts of a line without its end, which is the last one's or not; ok is
// false if it has not their shape.
func cutLine(line []byte, last bool) (content []byte, hash, signature string, ok bool) {
	text := line
	if last {
		at := len(text) - len(closing) - signatureSize - len(signatureOpen)
		if at > 0 && string(text[at:at+len(signatureOpen)]) == signatureOpen {
			if string(text[len(text)-len(closing):]) != closing || text[at-1] != '"' {
				return nil, "", "", false
			}
			signature = string(text[at+len(signatureOpen) : len(text)-len(closing)])
			text = append(text[:at:at], '}')
		}
	}
	at := len(text) - len(closing) - hashSize - len(hashOpen)
	if at <= 0 || string(text[at:at+len(hashOpen)]) != hashOpen || string(text[len(text)-len(closing):]) != closing {
		return nil, "", "", false
	}
	return text[:at:at], string(text[at+len(hashOpen) : len(text)-len(closing)]), signature, true
}
