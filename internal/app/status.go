package app

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"time"

	"verdict/internal/decision"
	"verdict/processor"
)

// kafkaGrace is how long a pause for Kafka may last before the service is not ready.
const kafkaGrace = time.Minute

// Status is what an operator wants to know of an instance at one moment. The body of
// /readyz and a log line each minute show it, with the same names and in one order.
// Where its facts come from is left to statusSource.
type Status struct {
	At       time.Time
	Stopping bool
	Joined   bool // the group, with or without partitions

	KafkaSince time.Time // when the pause for Kafka began; zero: there is none
	KafkaWhy   string

	Partitions int                        // owned
	Backlog    [len(decision.Lanes)]int64 // records in them that are not settled
	Work       *processor.Status          // nil: this instance makes no calls, or not yet
	Ledger     *LedgerStatus              // nil: it is not known, or this instance does not obey it
}

// NotReady returns why the instance takes no work; empty if it does.
func (s *Status) NotReady() string {
	switch {
	case s.Stopping:
		return "stopping"
	case !s.Joined && s.KafkaWhy != "":
		return "not a member of the consumer group: " + s.KafkaWhy
	case !s.Joined:
		return "not a member of the consumer group yet"
	case s.pauses(decision.PausedAuth):
		return "the API key is refused"
	case !s.KafkaSince.IsZero() && s.At.Sub(s.KafkaSince) > kafkaGrace:
		return s.KafkaWhy
	}
	return ""
}

// pauses reports whether the processor pauses for a cause.
func (s *Status) pauses(cause decision.PauseCause) bool {
	if s.Work != nil {
		for _, p := range s.Work.Pauses {
			if p.Cause == cause {
				return true
			}
		}
	}
	return false
}

// String returns the status in one line, as the attributes of a log line in text form.
// What comes from outside is quoted where it needs to be.
func (s *Status) String() string {
	var b bytes.Buffer
	h := slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
			return slog.Attr{}
		}
		return a
	}})
	r := slog.NewRecord(time.Time{}, slog.LevelInfo, "", 0)
	r.AddAttrs(s.attrs()...)
	_ = h.Handle(context.Background(), r) // a buffer takes everything
	return strings.TrimSuffix(b.String(), "\n")
}

// attrs returns the facts, in their order.
func (s *Status) attrs() []slog.Attr {
	why := s.NotReady()
	all := []slog.Attr{slog.Bool("ready", why == "")}
	if why != "" {
		all = append(all, slog.String("why", decision.OneLine(why, 300)))
	}
	all = append(all, slog.String("paused", s.paused()))
	if s.Work == nil {
		return append(all, slog.Int("partitions", s.Partitions))
	}
	rate := []any{slog.Float64("used", hundredths(s.Work.RateUsed))}
	if !math.IsInf(s.Work.RateAllowed, 1) {
		rate = append(rate, slog.Float64("allowed", hundredths(s.Work.RateAllowed)))
	}
	all = append(all, slog.String("lane_paused", s.lanesPaused()))
	if l := s.Ledger; l != nil {
		all = append(all, slog.String("ledger", string(l.Condition)), slog.String("held", l.held()))
		if ordered := l.rate(s.At); ordered > 0 {
			rate = append(rate, slog.Float64("ordered", hundredths(ordered)))
		}
	}
	var backlog, pending, oldest []any
	for _, lane := range decision.Lanes {
		name, of := lane.String(), &s.Work.Lanes[lane]
		backlog = append(backlog, slog.Int64(name, s.Backlog[lane]))
		pending = append(pending, slog.Int(name, of.Pending))
		if of.Oldest != nil {
			oldest = append(oldest, slog.Group(name, s.oldest(of.Oldest)...))
		}
	}
	return append(all,
		slog.Group("rate", rate...),
		slog.Group("backlog", backlog...), slog.Group("pending", pending...), slog.Int("in_flight", s.Work.InFlight),
		slog.Int("dead_letters", s.Work.DeadLetters), slog.Int("partitions", s.Partitions),
		slog.Group("oldest", oldest...))
}

// paused returns the pauses with their ages, such as "auth:5s,kafka:2m0s".
func (s *Status) paused() string {
	var all []string
	for _, cause := range decision.PauseCauses {
		since := time.Time{}
		if s.Work != nil {
			for _, p := range s.Work.Pauses {
				if p.Cause == cause {
					since = p.Since
				}
			}
		}
		if cause == decision.PausedKafka {
			since = s.KafkaSince // the Schema Registry's too, which holds no calls
		}
		if !since.IsZero() {
			all = append(all, fmt.Sprintf("%s:%s", cause, s.age(since)))
		}
	}
	return orNone(all)
}

// lanesPaused returns the pauses of lanes with their ages, such as
// "backfill/outage:5s".
func (s *Status) lanesPaused() string {
	var all []string
	for _, lane := range decision.Lanes {
		for _, p := range s.Work.Lanes[lane].Pauses {
			all = append(all, fmt.Sprintf("%s/%s:%s", lane, p.Cause, s.age(p.Since)))
		}
	}
	return orNone(all)
}

// oldest returns the facts about a lane's oldest decision.
func (s *Status) oldest(o *processor.Oldest) (all []any) {
	if o.DecisionID != "" {
		all = append(all, slog.String("decision_id", o.DecisionID))
	}
	all = append(all, slog.String("origin", o.Origin.String()))
	if !o.Time.IsZero() {
		all = append(all, slog.String("age", s.age(o.Time)))
	}
	all = append(all, slog.String("waits_for", string(o.Wait)), slog.Int("attempts", o.Attempts))
	if o.Cause != "" {
		all = append(all, slog.String("cause", string(o.Cause)))
	}
	if !o.Due.IsZero() {
		all = append(all, slog.String("next_in", max(o.Due.Sub(s.At), 0).Round(100*time.Millisecond).String()))
	}
	return all
}

// age returns how long ago t was, in seconds.
func (s *Status) age(t time.Time) string {
	return max(s.At.Sub(t), 0).Round(time.Second).String()
}

func orNone(all []string) string {
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ",")
}

func hundredths(x float64) float64 { return math.Round(x*100) / 100 }
