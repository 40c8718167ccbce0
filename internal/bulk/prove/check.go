package prove

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"verdict/internal/decision"
	"verdict/internal/ledger"
)

// LineError says which line of evidence is wrong, and how.
type LineError struct {
	Line int64 // from 1
	Why  error
}

// Error says so in one line.
func (e *LineError) Error() string {
	return fmt.Sprintf("line %d is wrong: %s", e.Line, decision.OneLine(e.Why.Error(), 500))
}

// Unwrap returns Why.
func (e *LineError) Unwrap() error { return e.Why }

// Checked is what evidence says, once it was found to be consistent.
type Checked struct {
	Manifest Manifest
	Counts   Counts
	Lines    int64
	Hash     string // the last line's
	// Key is the key by which it is signed; nil: it is not.
	Key ed25519.PublicKey
}

// Fingerprint returns the SHA-256 of the key.
func (c *Checked) Fingerprint() string {
	sum := sha256.Sum256(c.Key)
	return hex.EncodeToString(sum[:])
}

// SignedBy returns the actors whose key it is, in order.
func (c *Checked) SignedBy(trusted ledger.Trusted) []string {
	var actors []string
	for actor, keys := range trusted {
		if slices.ContainsFunc(keys, func(k ed25519.PublicKey) bool { return k.Equal(c.Key) }) {
			actors = append(actors, actor)
		}
	}
	slices.Sort(actors)
	return actors
}

// Check reads evidence and checks the chain of its lines, their order and counts, how each
// decision ended, and the signature. The error is a *LineError if a line is wrong. Whose key
// it is, is left to the caller. It reads in bounded memory, whoever made the evidence.
func Check(r io.Reader) (*Checked, error) {
	c := &checker{hash: firstHash, counts: newCounter()}
	in := bufio.NewReaderSize(r, 64<<10)
	var line []byte
	for {
		var err error
		line, err = readLine(in, line[:0])
		switch {
		case err == io.EOF && len(line) == 0 && c.stage == stageEnd:
			return &c.Checked, nil
		case err == io.EOF && len(line) == 0:
			return nil, &LineError{c.Lines + 1, errors.New("it is missing: the file ends before its last line")}
		case err == io.EOF:
			return nil, &LineError{c.Lines + 1, errors.New("it is cut: it has no end")}
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, &LineError{c.Lines + 1, fmt.Errorf("it has more than %d bytes", maxLine)}
		case err != nil:
			return nil, fmt.Errorf("read after line %d: %w", c.Lines, err)
		}
		c.Lines++
		if err := c.add(line[:len(line)-1]); err != nil {
			return nil, &LineError{c.Lines, err}
		}
	}
}

// readLine appends the next line to b, with its end. If it is longer than maxLine, the error is
// bufio.ErrBufferFull.
func readLine(in *bufio.Reader, b []byte) ([]byte, error) {
	for {
		part, err := in.ReadSlice('\n')
		b = append(b, part...)
		if len(b) > maxLine {
			return nil, bufio.ErrBufferFull
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return b, err
		}
	}
}

// stage is how far a checker has come: which type of line was last.
type stage int

const (
	stageStart stage = iota
	stageManifest
	stageDecisions
	stageCommands
	stageEnd
)

// checker takes lines in turn.
type checker struct {
	Checked
	hash    string // of the line before
	stage   stage
	counts  counter
	last    *Decision // the one before, without its parts
	command int64     // offset of the one before
}

// add checks the next line.
func (c *checker) add(line []byte) error {
	kind := lineType(line)
	content, hash, signature, ok := cutLine(line, kind == typeEnd)
	if !ok {
		return errors.New(`it does not end with its hash: ,"hash":"…"}`)
	}
	if want := chainHash(c.hash, content); hash != want {
		return fmt.Errorf("its hash is %s and should be %s: it was changed, or a line before it was removed, inserted or moved", decision.OneLine(hash, hashSize), want)
	}
	c.hash = hash
	object := slices.Concat(content, []byte{'}'})
	var next stage
	var err error
	switch kind {
	case typeManifest:
		next, err = stageManifest, c.addManifest(object)
	case typeDecision:
		next, err = stageDecisions, c.addDecision(object)
	case typeCommand:
		next, err = stageCommands, c.addCommand(object)
	case typeEnd:
		next, err = stageEnd, c.addEnd(object, signature)
	default:
		return errors.New(`it has no type that is known: it should begin with {"type":"manifest", "decision", "command" or "end"`)
	}
	switch {
	case c.stage == stageEnd:
		return errors.New("it comes after the last line")
	case c.stage == stageStart && next != stageManifest:
		return errors.New("it should be the manifest, which comes first")
	case next < c.stage || next == stageManifest && c.stage != stageStart:
		return fmt.Errorf("a %s can't come here: the order is manifest, decisions, commands, end", kind)
	}
	c.stage = next
	return err
}

// lineType returns the type of a line; empty: none that is known.
func lineType(line []byte) string {
	for _, t := range []string{typeManifest, typeDecision, typeCommand, typeEnd} {
		if bytes.HasPrefix(line, []byte(`{"type":"`+t+`",`)) {
			return t
		}
	}
	return ""
}

func (c *checker) addManifest(object []byte) error {
	if err := json.Unmarshal(object, &c.Manifest); err != nil {
		return fmt.Errorf("it is not a manifest: %w", err)
	}
	m := &c.Manifest
	switch {
	case m.Format != format:
		return fmt.Errorf("the evidence has format %d, and this version of Verdict reads format %d", m.Format, format)
	case m.Members != ByRuns && m.Members != ByNames:
		return fmt.Errorf("members is %q, neither runs nor names", decision.OneLine(string(m.Members), 50))
	case len(m.Topics.Decisions) == 0 || len(m.Topics.Decisions) > maxTopics:
		return fmt.Errorf("it names %d topics of decisions, not 1 to %d", len(m.Topics.Decisions), maxTopics)
	case m.Members == ByRuns && m.Ledger == nil, m.Ledger != nil && m.Ledger.Batch == nil:
		return errors.New("it lacks the ledger's entry of the batch")
	}
	return nil
}

// maxTopics bounds the topics that decisions of one batch can be in.
const maxTopics = 16

func (c *checker) addDecision(object []byte) error {
	if len(object) > maxDecisionLine {
		return fmt.Errorf("a decision has at most %d bytes", maxDecisionLine)
	}
	var d Decision
	if err := json.Unmarshal(object, &d); err != nil {
		return fmt.Errorf("it is not a decision: %w", err)
	}
	if n := len(d.Results) + len(d.DeadLetters) + len(d.Redrives); n > maxParts {
		return fmt.Errorf("it has %d results, dead letters and redrives, and may have %d", n, maxParts)
	}
	if d.Line < 0 || d.Origin.Partition < 0 || d.Origin.Offset < 0 || c.topic(&d) < 0 {
		return errors.New("it does not say where its record was")
	}
	if c.last != nil && c.compare(c.last, &d) >= 0 {
		return fmt.Errorf("it should come before the previous one: decisions are in the order of line, partition, offset and topic, and this is line %d at %d/%d",
			d.Line, d.Origin.Partition, d.Origin.Offset)
	}
	c.last = &Decision{Line: d.Line, Origin: d.Origin}
	said, redrives := d, slices.Clone(d.Redrives)
	d.settle(c.Manifest.Members)
	if said.Outcome != d.Outcome || said.Reason != d.Reason {
		return fmt.Errorf("it says that it ended as %s, and its results and dead letters say %s", ending(&said), ending(&d))
	}
	for i := range redrives {
		if redrives[i].Confirmed != d.Redrives[i].Confirmed {
			return fmt.Errorf("its redrive %d says confirmed %v, and what it shows says %v", i+1, redrives[i].Confirmed, d.Redrives[i].Confirmed)
		}
	}
	c.counts.add(&d)
	return nil
}

func ending(d *Decision) string {
	return decision.OneLine(d.Outcome+" "+d.Reason, 150)
}

func (c *checker) topic(d *Decision) int {
	return slices.Index(c.Manifest.Topics.Decisions, d.Origin.Topic)
}

func (c *checker) compare(a, b *Decision) int {
	return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Origin.Partition, b.Origin.Partition),
		cmp.Compare(a.Origin.Offset, b.Origin.Offset), cmp.Compare(c.topic(a), c.topic(b)))
}

func (c *checker) addCommand(object []byte) error {
	var command Command
	if err := json.Unmarshal(object, &command); err != nil {
		return fmt.Errorf("it is not a command: %w", err)
	}
	if command.Offset < 0 || c.counts.Commands > 0 && command.Offset <= c.command {
		return errors.New("it should come before the previous one: commands are in the order of the audit topic")
	}
	c.command = command.Offset
	c.counts.Commands++
	return nil
}

func (c *checker) addEnd(object []byte, signature string) error {
	var end End
	if err := json.Unmarshal(object, &end); err != nil {
		return fmt.Errorf("it is not the last line: %w", err)
	}
	if l := c.Manifest.Ledger; l != nil {
		c.counts.NotFound = max(l.Batch.Size-c.counts.Decisions, 0)
	} else {
		c.counts.NotFound = end.Counts.NotFound // only the records knew the size
	}
	if err := sameCounts(&end.Counts, &c.counts.Counts); err != nil {
		return err
	}
	c.Counts, c.Hash = c.counts.Counts, c.hash
	if n := c.Counts.Unsettled + c.Counts.NotFound; c.Manifest.Unsettled != n {
		return fmt.Errorf("the manifest says that %d decisions are unsettled, and the lines that %d are", c.Manifest.Unsettled, n)
	}
	if end.Lines != c.Lines {
		return fmt.Errorf("it says that there are %d lines, and it is line %d", end.Lines, c.Lines)
	}
	if !end.Signed {
		if signature != "" || end.PublicKey != "" {
			return errors.New("it says that it is not signed, and has a signature or a key")
		}
		return nil
	}
	key, err := decodeBase64(end.PublicKey, ed25519.PublicKeySize)
	if err != nil {
		return fmt.Errorf("its public_key is not an Ed25519 key: %w", err)
	}
	signed, err := decodeBase64(signature, ed25519.SignatureSize)
	if err != nil {
		return fmt.Errorf("it should be signed: %w", err)
	}
	if !ed25519.Verify(key, signedContent(c.hash), signed) {
		return errors.New("its signature is not by its public_key")
	}
	c.Key = key
	return nil
}

// decodeBase64 reads bytes of this number, written in the one way in which they can be.
func decodeBase64(text string, size int) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) != size || base64.StdEncoding.EncodeToString(b) != text {
		return nil, fmt.Errorf("want %d bytes in base64", size)
	}
	return b, nil
}

// sameCounts returns the first count that is not what the lines add up to.
func sameCounts(said, counted *Counts) error {
	for _, c := range []struct {
		name          string
		said, counted int64
	}{
		{"decisions", said.Decisions, counted.Decisions}, {"unsettled", said.Unsettled, counted.Unsettled}, {"not_found", said.NotFound, counted.NotFound},
		{"gone", said.Gone, counted.Gone}, {"repeated", said.Repeated, counted.Repeated}, {"redriven", said.Redriven, counted.Redriven},
		{"unconfirmed", said.Unconfirmed, counted.Unconfirmed}, {"omitted", said.Omitted, counted.Omitted}, {"commands", said.Commands, counted.Commands},
	} {
		if c.said != c.counted {
			return fmt.Errorf("it counts %d as %s, and the lines add up to %d", c.said, c.name, c.counted)
		}
	}
	if !maps.Equal(said.Outcomes, counted.Outcomes) {
		return fmt.Errorf("its outcomes are not those that the lines add up to: %v", counted.Outcomes)
	}
	if !maps.Equal(said.Reasons, counted.Reasons) {
		return fmt.Errorf("its dead_letter_reasons are not those that the lines add up to: %v", counted.Reasons)
	}
	return nil
}
