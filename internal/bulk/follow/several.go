package follow

import (
	"context"
	"maps"
	"slices"
	"time"

	"verdict/internal/bulk/topicread"
	"verdict/internal/decision"
)

// OneOf is a batch that is counted together with others. The ledger says all of this.
type OneOf struct {
	ID string
	// Runs are those that sent it. Only their records are in the batch, and later copies. Nil:
	// those that name it.
	Runs []string
	// Topic is where they sent it, and Begin where it began in each partition. An empty Topic
	// is any of the topics of decisions, from when it began.
	Topic string
	Begin map[int]int64
	// Began is when; zero: not known.
	Began time.Time
}

// Several counts several batches, in one pass over the topics that goes on at each Read.
// It belongs to one goroutine.
type Several struct {
	reader  *follower // reads, and tallies nothing
	members map[string]*member
}

// member is one of several batches.
type member struct {
	*follower
	of     OneOf
	recent map[int64]int64 // decisions settled in a minute, by its number since 1970
	last   time.Time       // when the last decision was settled; zero: none was
}

// paceMinutes is how many minutes the pace of one of several batches is measured over.
const paceMinutes = 5

// NewSeveral returns a Several that has read nothing yet. Of the options, BatchID, Since,
// Once, Timeout and Report mean nothing here, and Progress gets the records read alone.
func NewSeveral(o Options, batches []OneOf) *Several {
	o.Since = time.Time{}
	s := &Several{reader: newFollower(o), members: make(map[string]*member)}
	for i, b := range batches {
		o.BatchID, o.Runs = b.ID, b.Runs
		s.members[b.ID] = &member{follower: newFollower(o), of: b, recent: make(map[int64]int64)}
		if since := &s.reader.options.Since; i == 0 || b.Began.Before(*since) {
			*since = b.Began
		}
	}
	if since := &s.reader.options.Since; !since.IsZero() {
		*since = since.Add(-topicread.ClockSkew)
	}
	s.beginAt(batches)
	return s
}

// beginAt makes the reading of a topic begin where the first of the batches in it began.
// A partition that did not exist then is read from its first record.
func (s *Several) beginAt(batches []OneOf) {
	for _, topic := range s.reader.options.Decisions {
		in := slices.DeleteFunc(slices.Clone(batches), func(b OneOf) bool { return b.Topic != topic })
		elsewhere := slices.ContainsFunc(batches, func(b OneOf) bool { return b.Topic == "" })
		if len(in) == 0 || elsewhere {
			continue // by time
		}
		begin := maps.Clone(in[0].Begin)
		for _, b := range in[1:] {
			for partition, offset := range begin {
				begin[partition] = min(offset, b.Begin[partition]) // 0: the partition did not exist
			}
		}
		s.reader.readTo[topic] = begin
	}
}

// Read reads what was written since the last Read.
func (s *Several) Read(ctx context.Context) error {
	return s.reader.readRound(ctx, adders{s.addDecision, s.checkClaims, s.addResult, s.addDeadLetter})
}

// Summary returns how a batch stands, with the pace of its last five minutes, and when the
// last of its decisions was settled; zero: none was.
func (s *Several) Summary(id string, now time.Time) (sum Summary, last time.Time) {
	m, ok := s.members[id]
	if !ok {
		return Summary{}, time.Time{}
	}
	sum = m.summary()
	sum.Rate, sum.Left = m.pace(now), 0
	return sum, m.last
}

func (s *Several) addDecision(rec *decision.Record) {
	d, err := s.reader.options.Decode(rec)
	for _, m := range s.members {
		m.addDecoded(rec, &d, err)
	}
}

func (s *Several) checkClaims(ctx context.Context) error {
	for _, m := range s.members {
		m.answered = true
		if err := m.checkClaims(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *Several) addResult(rec *decision.Record) {
	r, err := decision.ParseResult(rec.Value)
	if err != nil || r.Origin.Topic == "" || r.Origin.Offset < 0 {
		return
	}
	r.BatchID = "" // it proves nothing
	for _, m := range s.members {
		if m.addParsedResult(&r) {
			m.settledAt(r.CompletedAt.Time)
		}
	}
}

func (s *Several) addDeadLetter(rec *decision.Record) {
	l, err := decision.ParseDeadLetter(rec)
	if err != nil {
		return
	}
	d, err := s.reader.options.Decode(&l.Original)
	for _, m := range s.members {
		if m.addParsedDeadLetter(&l, &d, err) {
			m.settledAt(l.FailedAt.Time)
		}
	}
}

// settledAt counts for the pace that a decision was settled.
func (m *member) settledAt(at time.Time) {
	m.recent[at.Unix()/60]++
	if at.After(m.last) {
		m.last = at
	}
}

// pace returns how many decisions were settled in a second, in the minutes before now.
func (m *member) pace(now time.Time) float64 {
	since := now.Add(-paceMinutes * time.Minute).Truncate(time.Minute)
	if m.of.Began.After(since) {
		since = m.of.Began
	}
	n := int64(0)
	for minute, count := range m.recent {
		if minute >= since.Unix()/60 && minute <= now.Unix()/60 {
			n += count
		}
	}
	return float64(n) / max(now.Sub(since).Seconds(), 1)
}
