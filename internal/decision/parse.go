package decision

import (
	"errors"
	"fmt"
	"strconv"
)

// DeadRecord is a dead letter as read back from its topic.
type DeadRecord struct {
	DeadLetter
	// Original is the record as it came, with the place and time that it had. Its
	// bytes are those of the record that was read, not copies.
	Original Record
	// Redrives is how often Original had been redriven.
	Redrives int
	// ValueOmitted says that the dead letter went without the value (and without
	// the sender's headers), so that Original can't be sent again from it.
	ValueOmitted bool
}

// ParseDeadLetter reads a dead letter back. What the record must have is a reason
// and where it came from; any other header may be missing or unreadable and is
// then zero, and unknown ones are left alone.
func ParseDeadLetter(rec *Record) (DeadRecord, error) {
	n := added(rec.Headers)
	if n == len(rec.Headers) {
		return DeadRecord{}, errors.New("parse a dead letter: no header " + HeaderReason)
	}
	own := rec.Headers[n:]
	// get is the header's text, bounded, since it ends in messages and reports.
	get := func(key string) string {
		for _, h := range own {
			if h.Key == key {
				return OneLine(string(h.Value[:min(len(h.Value), 2*MaxErrorSize)]), MaxErrorSize)
			}
		}
		return ""
	}
	number := func(key string) int {
		i, err := strconv.ParseUint(get(key), 10, 31)
		if err != nil {
			return 0
		}
		return int(i)
	}
	when := func(key string) Time {
		t, _ := parseTime(get(key))
		return Time{t.UTC()}
	}

	d := DeadRecord{
		DeadLetter: DeadLetter{
			Reason:     Reason(get(HeaderReason)),
			Error:      get(HeaderError),
			HTTPStatus: number(HeaderHTTPStatus),
			Attempts:   number(HeaderAttempts),
			DecisionID: get(HeaderDecisionID),
			FailedAt:   when(HeaderFailedAt),
			Instance:   get(HeaderInstance),
		},
		Original: Record{
			Topic: get(HeaderTopic), Key: rec.Key, Value: rec.Value,
			Headers: rec.Headers[:n:n], // capped: an append must not write over what follows
			Time:    when(HeaderTimestamp).Time,
		},
		Redrives:     Redrives(rec),
		ValueOmitted: get(HeaderValueOmitted) != "",
	}
	if !word(string(d.Reason)) {
		return DeadRecord{}, fmt.Errorf("parse a dead letter: %s is no reason: %s", HeaderReason, quote(string(d.Reason)))
	}
	partition, err := strconv.ParseUint(get(HeaderPartition), 10, 31)
	offset, err2 := strconv.ParseInt(get(HeaderOffset), 10, 64)
	if d.Original.Topic == "" || err != nil || err2 != nil || offset < 0 {
		return DeadRecord{}, fmt.Errorf("parse a dead letter: headers %s, %s and %s don't say where it came from",
			HeaderTopic, HeaderPartition, HeaderOffset)
	}
	d.Original.Partition, d.Original.Offset = int(partition), offset
	return d, nil
}
