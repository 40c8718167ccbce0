package decision

import (
	"strconv"
)

// The headers by which a decision's record says which batch it was submitted in.
// They stay with it in its dead letter; a result has the batch's ID alone, where
// the value has it, and points at the record by its origin.
const (
	// HeaderBatchID is the ID of the batch.
	HeaderBatchID = "verdict-batch-id"
	// HeaderBatchLine is the decision's place in the batch, decimal: the number of
	// its row, from 1, over all files. Rows that were not sent leave gaps.
	HeaderBatchLine = "verdict-batch-line"
	// HeaderBatchSize is the number of decisions that the batch has in all, decimal.
	HeaderBatchSize = "verdict-batch-size"
)

// MaxBatchIDLength bounds the ID of a batch, in bytes, so that it fits, with a row's
// number, into the ID of a decision.
const MaxBatchIDLength = 100

// BatchPlace is the place of a decision in its batch.
type BatchPlace struct {
	ID   string
	Line int64 // from 1
	Size int64 // of the whole batch; 0: not known
}

// Headers is the place as headers of a record.
func (b BatchPlace) Headers() []Header {
	return []Header{
		{Key: HeaderBatchID, Value: []byte(b.ID)},
		{Key: HeaderBatchLine, Value: strconv.AppendInt(nil, b.Line, 10)},
		{Key: HeaderBatchSize, Value: strconv.AppendInt(nil, b.Size, 10)},
	}
}

// BatchPlaceOf is the place that a record's headers tell. It is false where they
// name no batch or no line of it; a size that is no number is 0. Of two headers
// with one name the first counts: it is the submitter's.
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
			b.Line = count(h.Value)
		case h.Key == HeaderBatchSize && !size:
			size = true
			b.Size = count(h.Value)
		}
	}
	return b, b.ID != "" && b.Line > 0
}

// count is a number of at least 0 in decimal digits; 0 where it is none.
func count(digits []byte) int64 {
	if len(digits) > 18 {
		return 0
	}
	n, err := strconv.ParseUint(string(digits), 10, 63)
	if err != nil {
		return 0
	}
	return int64(n)
}
