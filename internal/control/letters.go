package control

import (
	"context"
	"errors"
	"maps"
	"time"

	"verdict/internal/broker"
	"verdict/internal/bulk/topicread"
	"verdict/internal/decision"
)

// lettersOf is the time whose dead letters a status counts.
const lettersOf = time.Hour

// recentLetters counts the dead letters of the last hour by reason.
type recentLetters struct {
	readTo map[int]int64              // where reading goes on, by partition
	counts map[int64]map[string]int64 // by minute since 1970, and reason
}

// read reads the dead letters that are new, and returns the counts of the last hour. A
// topic that does not exist has none.
func (l *recentLetters) read(ctx context.Context, o *Options, now time.Time) (map[string]int64, error) {
	bounds, err := topicread.Bounds(ctx, o.Ledger.Connection, o.DeadLetters)
	if errors.Is(err, broker.ErrNoTopic) {
		return map[string]int64{}, nil
	}
	if err != nil {
		return nil, err
	}
	scan := broker.ScanOptions{Topic: o.DeadLetters, Since: now.Add(-lettersOf), Offsets: l.readTo, Ends: make(map[int]int64), Retrying: o.Retrying}
	for partition, b := range bounds {
		scan.Ends[partition] = b.End
		if l.readTo[partition] < b.End {
			scan.Partitions = append(scan.Partitions, partition)
		}
	}
	if len(scan.Partitions) > 0 {
		if err := o.Ledger.Connection.Scan(ctx, scan, func(rec decision.Record) error {
			if letter, err := decision.ParseDeadLetter(&rec); err == nil {
				l.add(letter.FailedAt.Time, string(letter.Reason))
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	l.readTo = scan.Ends
	return l.since(now.Add(-lettersOf)), nil
}

func (l *recentLetters) add(at time.Time, reason string) {
	minute := at.Unix() / 60
	if l.counts[minute] == nil {
		l.counts[minute] = make(map[string]int64)
	}
	l.counts[minute][reason]++
}

// since returns the counts since a time, to the minute, and forgets the others.
func (l *recentLetters) since(from time.Time) map[string]int64 {
	maps.DeleteFunc(l.counts, func(minute int64, _ map[string]int64) bool { return minute < from.Unix()/60 })
	all := make(map[string]int64)
	for _, counts := range l.counts {
		for reason, n := range counts {
			all[reason] += n
		}
	}
	return all
}
