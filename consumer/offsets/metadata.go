package offsets

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"math/bits"
	"slices"
	"strings"

	"verdict/internal/decision"
)

// The metadata string of a commit carries what the committed offset alone can't
// say: the offsets settled beyond it, and how far the unsettled ones got.
//
//	v1:<base64>
//	payload = kind, [length of set, if attempts follow], set, attempts
//	kind    = bit 0: the set is run lengths, not a bitmap; bit 1: attempts follow
//	bitmap  = bit i of byte i/8 (lowest first): offset committed+i is settled
//	runs    = uvarints: number of unsettled offsets, of settled ones, and so on
//	attempt = uvarint offset-committed, uvarint attempts*2 (+1: MaybeApplied)
const (
	metadataPrefix = "v1:"

	kindRuns     = 1 << 0
	kindAttempts = 1 << 1

	// maxCarriedAttempts bounds how many attempts are believed and carried.
	maxCarriedAttempts = 1 << 16
)

// MaxSpan is the longest span of offsets that metadata may describe: a few bytes
// of run lengths could otherwise ask for any amount of memory.
const MaxSpan = 1 << 20

// DefaultMetadataSize is the default of the broker's offset.metadata.max.bytes
// (https://kafka.apache.org/documentation/#brokerconfigs).
const DefaultMetadataSize = 4096

// ErrMetadata is the error for metadata that Verdict did not write.
var ErrMetadata = errors.New("metadata that Verdict did not write")

// SpanThatFits returns the span of offsets whose bitmap always fits a metadata
// string of size bytes, whichever of them are settled; at least 64, so that work
// goes on even without metadata.
func SpanThatFits(size int) int64 { return max(8*int64(setSize(size)), 64) }

// payloadSize returns the number of bytes that fit a metadata string of size
// bytes.
func payloadSize(size int) int { return (size - len(metadataPrefix)) / 4 * 3 }

// setSize returns how many bytes of them a set may have.
func setSize(size int) int { return max(payloadSize(size)-1, 0) }

// Encode returns the metadata for a commit of t.Base(), in at most size bytes:
// the offsets settled beyond it, and the progress of the open ones. What does
// not fit is left out from the end, progress first. Leaving out is safe: it
// only repeats work after a restart.
func Encode(t *Tracker, open map[int64]decision.Progress, size int) string {
	kind, set := encodeSet(t, setSize(size))
	head := binary.AppendUvarint([]byte{kind | kindAttempts}, uint64(len(set)))
	attempts := encodeProgress(t.base, open, payloadSize(size)-len(head)-len(set))
	switch {
	case len(attempts) > 0:
	case len(set) > 0:
		head = []byte{kind}
	default:
		return ""
	}
	return metadataPrefix + base64.StdEncoding.EncodeToString(slices.Concat(head, set, attempts))
}

// encodeSet returns the form that carries the most settled offsets in at most
// size bytes: the shorter one if both carry all.
func encodeSet(t *Tracker, size int) (kind byte, set []byte) {
	runs, inRuns := encodeRuns(t, size)
	if inRuns == t.settled && int64(len(runs)) < (t.Top()-t.base+7)/8 {
		return kindRuns, runs
	}
	bitmap, inBitmap := encodeBitmap(t, size)
	if inRuns > inBitmap {
		return kindRuns, runs
	}
	return 0, bitmap
}

// encodeRuns returns as many runs as fit size bytes, and how many settled
// offsets they are.
func encodeRuns(t *Tracker, size int) (set []byte, carried int64) {
	at := t.base
	for _, r := range t.runs {
		fits := len(set)
		set = binary.AppendUvarint(set, uint64(r.From-at))
		set = binary.AppendUvarint(set, uint64(r.size()))
		if len(set) > size {
			return set[:fits], carried
		}
		carried += r.size()
		at = r.To
	}
	return set, carried
}

// encodeBitmap returns as much of the bitmap as fits size bytes, and how many
// settled offsets are in it.
func encodeBitmap(t *Tracker, size int) (set []byte, carried int64) {
	set = make([]byte, min((t.Top()-t.base+7)/8, int64(size)))
	end := t.base + 8*int64(len(set))
	for _, r := range t.runs {
		for i := r.From; i < min(r.To, end); i++ {
			set[(i-t.base)/8] |= 1 << ((i - t.base) % 8)
			carried++
		}
	}
	return set, carried
}

// encodeProgress returns the progress of as many open offsets as fits size bytes.
func encodeProgress(base int64, open map[int64]decision.Progress, size int) []byte {
	var b []byte
	for _, offset := range slices.Sorted(maps.Keys(open)) {
		if offset < base {
			continue
		}
		fits := len(b)
		p := open[offset]
		n := uint64(min(p.Attempts, maxCarriedAttempts)) << 1
		if p.MaybeApplied {
			n |= 1
		}
		b = binary.AppendUvarint(b, uint64(offset-base))
		b = binary.AppendUvarint(b, n)
		if len(b) > size {
			return b[:fits]
		}
	}
	return b
}

// Decode reads what Encode wrote for a commit of base: the runs settled beyond
// base, in order, and the progress of open offsets. If the string is broken or
// was written by another program, it returns ErrMetadata and nothing else.
func Decode(metadata string, base int64) (settled []Run, open map[int64]decision.Progress, err error) {
	if metadata == "" {
		return nil, nil, nil
	}
	text, ok := strings.CutPrefix(metadata, metadataPrefix)
	if !ok {
		return nil, nil, ErrMetadata
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) == 0 || b[0]&^(kindRuns|kindAttempts) != 0 || base < 0 || base > math.MaxInt64-MaxSpan {
		return nil, nil, ErrMetadata
	}
	kind, set := b[0], b[1:]
	var attempts []byte
	if kind&kindAttempts != 0 {
		n, width := binary.Uvarint(set)
		if width <= 0 || n > uint64(len(set)-width) {
			return nil, nil, ErrMetadata
		}
		set, attempts = set[width:width+int(n)], set[width+int(n):]
	}
	if kind&kindRuns != 0 {
		settled, err = decodeRuns(set, base)
	} else {
		settled, err = decodeBitmap(set, base)
	}
	if err != nil {
		return nil, nil, err
	}
	open, err = decodeProgress(attempts, base)
	if err != nil {
		return nil, nil, err
	}
	return settled, open, nil
}

func decodeBitmap(set []byte, base int64) ([]Run, error) {
	if len(set)*8 > MaxSpan {
		return nil, ErrMetadata
	}
	var settled []Run
	for i, by := range set {
		for ; by != 0; by &= by - 1 {
			offset := base + int64(i)*8 + int64(bits.TrailingZeros8(by))
			settled = appendRun(settled, Run{offset, offset + 1})
		}
	}
	return settled, nil
}

func decodeRuns(set []byte, base int64) ([]Run, error) {
	var settled []Run
	at, isSettled := uint64(0), false
	for ; len(set) > 0; isSettled = !isSettled {
		run, width := binary.Uvarint(set)
		if width <= 0 || run > MaxSpan || at+run > MaxSpan {
			return nil, ErrMetadata
		}
		set = set[width:]
		if isSettled && run > 0 {
			settled = appendRun(settled, Run{base + int64(at), base + int64(at+run)})
		}
		at += run
	}
	return settled, nil
}

// appendRun appends a run to those before it, or extends the last of them.
func appendRun(runs []Run, r Run) []Run {
	if last := len(runs) - 1; last >= 0 && runs[last].To == r.From {
		runs[last].To = r.To
		return runs
	}
	return append(runs, r)
}

func decodeProgress(b []byte, base int64) (map[int64]decision.Progress, error) {
	open := make(map[int64]decision.Progress)
	for len(b) > 0 {
		delta, width := binary.Uvarint(b)
		if width <= 0 || delta > MaxSpan {
			return nil, ErrMetadata
		}
		b = b[width:]
		n, width := binary.Uvarint(b)
		if width <= 0 || n>>1 > maxCarriedAttempts {
			return nil, ErrMetadata
		}
		b = b[width:]
		open[base+int64(delta)] = decision.Progress{Attempts: int(n >> 1), MaybeApplied: n&1 != 0}
	}
	return open, nil
}

// Restore returns a Tracker that begins at base with the offsets that the
// metadata of the commit at committed calls settled, and the progress of the
// open ones. base is committed, or a later offset where retention deleted
// records. With ErrMetadata it returns an empty Tracker.
func Restore(committed int64, metadata string, base int64) (*Tracker, map[int64]decision.Progress, error) {
	t := NewTracker(base)
	settled, open, err := Decode(metadata, committed)
	if err != nil {
		return t, nil, err
	}
	for _, r := range settled {
		t.add(r.From, r.To)
	}
	return t, open, nil
}
