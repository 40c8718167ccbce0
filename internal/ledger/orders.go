package ledger

import (
	"strings"
	"time"

	"verdict/internal/decision"
)

// Orders are what an instance obeys, as of one moment.
type Orders struct {
	Lanes   [len(decision.Lanes)]bool // held
	Tasks   map[decision.Task]bool    // held
	Batches map[string]Hold           // held or cancelled, by the batch's ID
	By      map[string]Entry          // the records that say so, by the batch's ID
	BatchOf map[string]string         // the batch's ID by the run that wrote a record
	// Overwrite are the runs whose decisions may change a task that stands at the opposite
	// state.
	Overwrite map[string]bool
	// StopAt is the share of dead letters at which a batch is held by itself, of those that
	// have one, by the batch's ID.
	StopAt map[string]float64
	// Rate is the group's rate until RateUntil; 0: the configured one.
	Rate      float64
	RateUntil time.Time // zero: until another record
}

// Orders returns what is to be obeyed at now.
func (s *State) Orders(now time.Time) Orders {
	o := Orders{
		Tasks: make(map[decision.Task]bool), Batches: make(map[string]Hold), By: make(map[string]Entry),
		BatchOf: make(map[string]string), Overwrite: make(map[string]bool), StopAt: make(map[string]float64),
	}
	o.Rate, o.RateUntil = s.Rate(now)
	for key, e := range s.Of(KindBatch) {
		if e.Batch.Stop > 0 {
			o.StopAt[key.Name] = e.Batch.Stop
		}
		for _, run := range e.Batch.Runs {
			o.BatchOf[run] = key.Name
			if e.Batch.Redrive && e.Batch.Overwrite {
				o.Overwrite[run] = true
			}
		}
	}
	for key, e := range s.Of(KindHold) {
		what, name, _ := strings.Cut(key.Name, "/")
		switch what {
		case "batch":
			if !e.Hold.Held && e.Hold.Cancelled == nil {
				continue
			}
			o.Batches[name], o.By[name] = *e.Hold, e
		case "lane":
			for _, lane := range decision.Lanes {
				if lane.String() == name {
					o.Lanes[lane] = e.Hold.Held
				}
			}
		case "task":
			if profile, task, _ := strings.Cut(name, "/"); e.Hold.Held {
				o.Tasks[decision.NewTask(profile, task)] = true
			}
		}
	}
	return o
}
