package consumer

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
//	runs    = uvarints: so many unsettled, so many settled, and so on
//	attempt = uvarint offset-committed, uvarint attempts*2 (+1: the last may
//	          have been carried out)
const (
	metadataPrefix = "v1:"

	kindRuns     = 1 << 0
	kindAttempts = 1 << 1

	// defaultMetadataSize is the broker's offset.metadata.max.bytes unless set
	// otherwise (https://kafka.apache.org/documentation/#brokerconfigs).
	defaultMetadataSize = 4096

	// maxRestoredSpan bounds what a commit's metadata may claim, in offsets: a
	// few bytes of run lengths could otherwise ask for any amount of memory.
	maxRestoredSpan = 1 << 20

	// maxAttempts bounds how many attempts are believed and carried.
	maxCarriedAttempts = 1 << 16
)

// spanThatFits is the span of offsets whose bitmap always fits a metadata
// string of size bytes, whatever pattern is settled: run lengths only ever make
// it shorter.
func spanThatFits(size int) int64 {
	payload := (size - len(metadataPrefix)) / 4 * 3
	return max(8*int64(payload-1), 64)
}

// encodeMetadata writes what is settled beyond t.base, and the progress of what
// is not, in at most size bytes. What does not fit is left out from the end,
// progress first: leaving out is safe, it only repeats work after a restart.
func encodeMetadata(t *tracker, open map[int64]decision.Progress, size int) string {
	payload := (size - len(metadataPrefix)) / 4 * 3
	kind, set := encodeSet(t, payload-1)
	attempts := encodeProgress(t.base, open, payload-1-len(set)-binary.MaxVarintLen16)
	if len(set) == 0 && len(attempts) == 0 {
		return ""
	}
	b := make([]byte, 0, payload)
	if len(attempts) > 0 {
		b = append(b, kind|kindAttempts)
		b = binary.AppendUvarint(b, uint64(len(set)))
	} else {
		b = append(b, kind)
	}
	b = append(b, set...)
	b = append(b, attempts...)
	return metadataPrefix + base64.StdEncoding.EncodeToString(b)
}

// encodeSet is the shorter of bitmap and run lengths, at most size bytes.
func encodeSet(t *tracker, size int) (kind byte, set []byte) {
	bitmap := make([]byte, (t.top-t.base+7)/8)
	var runs []byte
	for from, settled := t.base, false; from < t.top; settled = !settled {
		to := t.runEnd(from, settled)
		if len(runs) < size-2*binary.MaxVarintLen32 {
			runs = binary.AppendUvarint(runs, uint64(to-from))
		}
		if settled {
			for i := from - t.base; i < to-t.base; i++ {
				bitmap[i/8] |= 1 << (i % 8)
			}
		}
		from = to
	}
	// Runs that were cut short are as long as may be, and lose to a bitmap that
	// fits; both are a prefix of what is settled.
	if len(runs) < len(bitmap) {
		return kindRuns, runs
	}
	return 0, bitmap[:min(len(bitmap), max(size, 0))]
}

// runEnd is the offset at which the run of settled or unsettled offsets that
// begins at from is over.
func (t *tracker) runEnd(from int64, settled bool) int64 {
	for from < t.top {
		word, mask := t.bit(from)
		shift := bits.TrailingZeros64(mask)
		w := *word >> shift
		if settled {
			w = ^w
		}
		run := min(bits.TrailingZeros64(w), 64-shift)
		from += int64(run)
		if run < 64-shift {
			break
		}
	}
	return min(from, t.top)
}

func encodeProgress(base int64, open map[int64]decision.Progress, size int) []byte {
	var b []byte
	for _, offset := range slices.Sorted(maps.Keys(open)) {
		if offset < base || len(b) > size-binary.MaxVarintLen32-binary.MaxVarintLen32 {
			continue
		}
		p := open[offset]
		n := uint64(min(p.Attempts, maxCarriedAttempts)) << 1
		if p.MaybeApplied {
			n |= 1
		}
		b = binary.AppendUvarint(b, uint64(offset-base))
		b = binary.AppendUvarint(b, n)
	}
	return b
}

var errMetadata = errors.New("not metadata that Verdict wrote")

// decodeMetadata reads what encodeMetadata wrote: the offsets settled beyond
// base, in order, and the progress of others. Another program's string, or a
// broken one, is an error, and then nothing in it is to be believed.
func decodeMetadata(metadata string, base int64) (settled []int64, open map[int64]decision.Progress, err error) {
	if metadata == "" {
		return nil, nil, nil
	}
	text, ok := strings.CutPrefix(metadata, metadataPrefix)
	if !ok {
		return nil, nil, errMetadata
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) == 0 || b[0]&^(kindRuns|kindAttempts) != 0 || base < 0 || base > math.MaxInt64-maxRestoredSpan {
		return nil, nil, errMetadata
	}
	kind, set := b[0], b[1:]
	var attempts []byte
	if kind&kindAttempts != 0 {
		n, width := binary.Uvarint(set)
		if width <= 0 || n > uint64(len(set)-width) {
			return nil, nil, errMetadata
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

func decodeBitmap(set []byte, base int64) ([]int64, error) {
	if len(set)*8 > maxRestoredSpan {
		return nil, errMetadata
	}
	var settled []int64
	for i, by := range set {
		for ; by != 0; by &= by - 1 {
			settled = append(settled, base+int64(i)*8+int64(bits.TrailingZeros8(by)))
		}
	}
	return settled, nil
}

func decodeRuns(set []byte, base int64) ([]int64, error) {
	var settled []int64
	at, isSettled := uint64(0), false
	for ; len(set) > 0; isSettled = !isSettled {
		run, width := binary.Uvarint(set)
		if width <= 0 || run > maxRestoredSpan || at+run > maxRestoredSpan {
			return nil, errMetadata
		}
		set = set[width:]
		if isSettled {
			for i := range run {
				settled = append(settled, base+int64(at+i))
			}
		}
		at += run
	}
	return settled, nil
}

func decodeProgress(b []byte, base int64) (map[int64]decision.Progress, error) {
	open := make(map[int64]decision.Progress)
	for len(b) > 0 {
		delta, width := binary.Uvarint(b)
		if width <= 0 || delta > maxRestoredSpan {
			return nil, errMetadata
		}
		b = b[width:]
		n, width := binary.Uvarint(b)
		if width <= 0 || n>>1 > maxCarriedAttempts {
			return nil, errMetadata
		}
		b = b[width:]
		open[base+int64(delta)] = decision.Progress{Attempts: int(n >> 1), MaybeApplied: n&1 != 0}
	}
	return open, nil
}

// restore is a tracker that begins at base with what the metadata of the commit
// at committed says is settled beyond it; base is committed, or later where
// retention deleted records. It can hold span offsets, or as many as the
// metadata speaks of.
func restore(committed int64, metadata string, base int64, span int) (*tracker, map[int64]decision.Progress, error) {
	settled, open, err := decodeMetadata(metadata, committed)
	if err != nil {
		return newTracker(base, span), nil, err
	}
	if len(settled) > 0 {
		span = max(span, int(settled[len(settled)-1]-base)+1)
	}
	t := newTracker(base, span)
	for _, offset := range settled {
		t.set(offset)
	}
	t.advance()
	return t, open, nil
}
