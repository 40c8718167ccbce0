package decision

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// ErrTooLarge is a publisher's error for a record that Kafka will never accept
// because of its size.
var ErrTooLarge = errors.New("the record is too large for its topic")

// MaxErrorSize bounds HeaderError, in bytes.
const MaxErrorSize = 1 << 10

// DeadLetter describes a decision that could not be carried out, or a record that
// could not be read as one.
type DeadLetter struct {
	Reason      Reason
	Error       string // one line for people; longer text is cut
	HTTPStatus  int    // of the last answer; 0: none
	Attempts    int
	DecisionID  string // empty: not readable
	DecisionKey string // of its Identity; empty: not readable as a decision
	FailedAt    Time
	Instance    string
}

// Encode returns the dead letter to be published: the record itself and the
// headers that say what happened. They come last, so that of two headers with one
// name the last is Verdict's.
func (d *DeadLetter) Encode(topic string, from *Record) Record {
	headers := make([]Header, 0, len(from.Headers)+13)
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
	if d.DecisionKey != "" {
		add(HeaderDecisionKey, d.DecisionKey)
	}
	add(HeaderTopic, from.Topic)
	add(HeaderPartition, strconv.Itoa(from.Partition))
	add(HeaderOffset, strconv.FormatInt(from.Offset, 10))
	add(HeaderTimestamp, Time{from.Time}.String())
	add(HeaderFailedAt, d.FailedAt.String())
	add(HeaderInstance, d.Instance)
	add(HeaderRedrives, strconv.Itoa(Redrives(from)))
	if from.Fault != "" {
		add(HeaderValueOmitted, strconv.FormatInt(from.LeftOut, 10))
	}
	return Record{Topic: topic, Key: from.Key, Value: from.Value, Headers: headers}
}

// WithoutValue returns a dead letter without its value, for when Kafka refused it
// as too large. It still points at the original by topic, partition and offset.
// The original's headers are left out too, since they may be what is too large.
func WithoutValue(rec Record) Record {
	headers := make([]Header, 0, 16)
	for _, h := range rec.Headers[firstAdded(rec.Headers):] {
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

// firstAdded returns the index of the first header that Verdict added to a record:
// the last HeaderReason, since Verdict's headers come last and begin with it. It
// returns len(headers) if there is none.
func firstAdded(headers []Header) int {
	for i, h := range slices.Backward(headers) {
		if h.Key == HeaderReason {
			return i
		}
	}
	return len(headers)
}

// DeadRecord is a dead letter as read back from its topic.
type DeadRecord struct {
	DeadLetter
	// Original is the record that was dead-lettered, with its topic, partition,
	// offset and time. Its bytes are those of the record that was read, not copies.
	Original Record
	// Redrives is how often Original had been redriven, by its own headers; see Redrives.
	Redrives int
	// ValueOmitted reports that the dead letter was published without the value
	// and the sender's headers, so that Original can't be sent again from it.
	ValueOmitted bool
}

// ParseDeadLetter reads a dead letter back. The record must have a reason and say
// where it came from. Any other header may be missing or unreadable, and its
// field is then zero; unknown headers are ignored.
func ParseDeadLetter(rec *Record) (DeadRecord, error) {
	n := firstAdded(rec.Headers)
	if n == len(rec.Headers) {
		return DeadRecord{}, errors.New("parse dead letter: header " + HeaderReason + " is missing")
	}
	added := addedHeaders(rec.Headers[n:])
	d := DeadRecord{
		DeadLetter: DeadLetter{
			Reason:      Reason(added.text(HeaderReason)),
			Error:       added.text(HeaderError),
			HTTPStatus:  added.number(HeaderHTTPStatus),
			Attempts:    added.number(HeaderAttempts),
			DecisionID:  added.text(HeaderDecisionID),
			DecisionKey: added.text(HeaderDecisionKey),
			FailedAt:    added.time(HeaderFailedAt),
			Instance:    added.text(HeaderInstance),
		},
		Original: Record{
			Topic: added.text(HeaderTopic), Key: rec.Key, Value: rec.Value,
			Headers: rec.Headers[:n:n], // capped: an append must not overwrite what follows
			Time:    added.time(HeaderTimestamp).Time,
		},
		Redrives:     smallNumber(added.text(HeaderRedrives)),
		ValueOmitted: added.text(HeaderValueOmitted) != "",
	}
	if !isWord(string(d.Reason)) {
		return DeadRecord{}, fmt.Errorf("parse dead letter: header %s must be a word in lower case, is %s", HeaderReason, quote(string(d.Reason)))
	}
	partition, err := strconv.ParseUint(added.text(HeaderPartition), 10, 31)
	offset, err2 := strconv.ParseInt(added.text(HeaderOffset), 10, 64)
	if d.Original.Topic == "" || err != nil || err2 != nil || offset < 0 {
		return DeadRecord{}, fmt.Errorf("parse dead letter: headers %s, %s and %s don't say where it came from",
			HeaderTopic, HeaderPartition, HeaderOffset)
	}
	d.Original.Partition, d.Original.Offset = int(partition), offset
	return d, nil
}

// addedHeaders are the headers that Verdict added to a dead letter.
type addedHeaders []Header

// text returns a header's text, bounded since it ends up in messages and reports.
func (a addedHeaders) text(key string) string {
	for _, h := range a {
		if h.Key == key {
			return OneLine(string(h.Value[:min(len(h.Value), 2*MaxErrorSize)]), MaxErrorSize)
		}
	}
	return ""
}

func (a addedHeaders) number(key string) int {
	n, err := strconv.ParseUint(a.text(key), 10, 31)
	if err != nil {
		return 0
	}
	return int(n)
}

func (a addedHeaders) time(key string) Time {
	t, _ := parseTime(a.text(key))
	return Time{t.UTC()}
}
