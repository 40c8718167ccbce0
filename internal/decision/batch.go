package decision

import (
	"slices"
	"strconv"
)

// MaxBatchIDLength bounds the ID of a batch, in bytes, so that the ID and a row
// number fit into the ID of a decision.
const MaxBatchIDLength = 100

// BatchPlace is the place of a decision in its batch.
type BatchPlace struct {
	ID   string
	Line int64 // from 1
	Size int64 // of the whole batch; 0: not known
}

// Headers returns the place as headers of a record.
func (b BatchPlace) Headers() []Header {
	return []Header{
		{Key: HeaderBatchID, Value: []byte(b.ID)},
		{Key: HeaderBatchLine, Value: strconv.AppendInt(nil, b.Line, 10)},
		{Key: HeaderBatchSize, Value: strconv.AppendInt(nil, b.Size, 10)},
	}
}

// BatchPlaceOf reads the place from a record's headers. It returns false if they
// name no batch or no line of it; a size that is not a number counts as 0. Of two
// headers with one name the first counts: it is the submitter's.
func BatchPlaceOf(headers []Header) (BatchPlace, bool) {
	var b BatchPlace
	var id, line, size bool
	for _, h := range headers {
		switch {
		case h.Key == HeaderBatchID && !id:
			id = true
			if len(h.Value) <= MaxTextSize {
				b.ID = string(h.Value)
			}
		case h.Key == HeaderBatchLine && !line:
			line = true
			b.Line = parseCount(h.Value)
		case h.Key == HeaderBatchSize && !size:
			size = true
			b.Size = parseCount(h.Value)
		}
	}
	return b, b.ID != "" && b.Line > 0
}

// parseCount reads a decimal number that is not negative; anything else is 0.
func parseCount(digits []byte) int64 {
	if len(digits) > 18 {
		return 0
	}
	n, err := strconv.ParseUint(string(digits), 10, 63)
	if err != nil {
		return 0
	}
	return int64(n)
}

// RunOf returns the run of Verdict that wrote a record, by its headers; empty: none did. Of
// several the last counts: it is the latest writer's.
func RunOf(headers []Header) string {
	for _, h := range slices.Backward(headers) {
		if h.Key == HeaderRun && len(h.Value) <= MaxTextSize {
			return string(h.Value)
		}
	}
	return ""
}
