package decision

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The headers that a dead letter adds to the record that it repeats.
const (
	HeaderReason     = "verdict-reason"
	HeaderError      = "verdict-error"
	HeaderHTTPStatus = "verdict-http-status"
	HeaderAttempts   = "verdict-attempts"
	HeaderDecisionID = "verdict-decision-id"
	HeaderTopic      = "verdict-topic"
	HeaderPartition  = "verdict-partition"
	HeaderOffset     = "verdict-offset"
	HeaderTimestamp  = "verdict-timestamp"
	HeaderFailedAt   = "verdict-failed-at"
	HeaderInstance   = "verdict-instance"
	HeaderRedrives   = "verdict-redrives"
	// HeaderValueOmitted is added to a dead letter that goes without its value,
	// because Kafka refused the record as too large; it holds the value's size.
	HeaderValueOmitted = "verdict-value-omitted"
)

// ErrTooLarge is what a publisher says of a record that Kafka will never take,
// because of its size.
var ErrTooLarge = errors.New("the record is too large for its topic")

// MaxErrorSize bounds HeaderError, in bytes.
const MaxErrorSize = 1 << 10

// DeadLetter is a decision that could not be carried out, or a record that
// could not be read as one.
type DeadLetter struct {
	Reason     Reason
	Error      string
	HTTPStatus int // of the last answer; 0: none
	Attempts   int
	DecisionID string // empty: not readable
	FailedAt   Time
	Instance   string
}

// Record is the dead letter as it is published: the record as it came, and the
// headers that say what happened. They come last, so that of two headers with
// one name the last is Verdict's.
func (d *DeadLetter) Record(topic string, from *Record) Record {
	headers := make([]Header, 0, len(from.Headers)+12)
	headers = append(headers, from.Headers...)
	add := func(key, value string) {
		headers = append(headers, Header{Key: key, Value: []byte(value)})
	}
	add(HeaderReason, string(d.Reason))
	add(HeaderError, OneLine(d.Error, MaxErrorSize))
	if d.HTTPStatus != 0 {
		add(HeaderHTTPStatus, strconv.Itoa(d.HTTPStatus))
	}
	add(HeaderAttempts, strconv.Itoa(d.Attempts))
	if d.DecisionID != "" {
		add(HeaderDecisionID, d.DecisionID)
	}
	add(HeaderTopic, from.Topic)
	add(HeaderPartition, strconv.Itoa(from.Partition))
	add(HeaderOffset, strconv.FormatInt(from.Offset, 10))
	add(HeaderTimestamp, Time{from.Time}.String())
	add(HeaderFailedAt, d.FailedAt.String())
	add(HeaderInstance, d.Instance)
	add(HeaderRedrives, strconv.Itoa(Redrives(from)))
	return Record{Topic: topic, Key: from.Key, Value: from.Value, Headers: headers}
}

// WithoutValue is a dead letter whose value Kafka refused as too large: it
// still points at the original, by topic, partition and offset. Headers that
// came with the record go too, since they may be what is too large.
func WithoutValue(rec Record) Record {
	headers := make([]Header, 0, 16)
	for _, h := range rec.Headers[added(rec.Headers):] {
		if len(h.Value) <= MaxErrorSize {
			headers = append(headers, h)
		}
	}
	headers = append(headers, Header{Key: HeaderValueOmitted, Value: []byte(strconv.Itoa(len(rec.Value)))})
	rec.Headers, rec.Value = headers, nil
	if len(rec.Key) > MaxErrorSize {
		rec.Key = nil
	}
	return rec
}

// added is the index of the first header that Verdict added to a record: the last
// HeaderReason, since they come last and it comes first. It is len(headers) where
// there is none.
func added(headers []Header) int {
	for i, h := range slices.Backward(headers) {
		if h.Key == HeaderReason {
			return i
		}
	}
	return len(headers)
}

// Redrives is how often the record was redriven so far, by its own header; a
// value that is not a small number counts as 0.
func Redrives(rec *Record) int {
	for _, h := range slices.Backward(rec.Headers) {
		if h.Key == HeaderRedrives {
			n, err := strconv.ParseUint(string(h.Value), 10, 16)
			if err != nil {
				return 0
			}
			return int(n)
		}
	}
	return 0
}

// OneLine is s fit for a header or a log line: valid UTF-8 without control
// characters, at most size bytes.
func OneLine(s string, size int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) <= size {
		return s
	}
	more := "…"
	if size < len(more) {
		more = ""
	}
	cut := size - len(more)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + more
}
