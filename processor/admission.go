package processor

import (
	"github.com/prometheus/client_golang/prometheus"

	"verdict/internal/decision"
	"verdict/processor/queue"
)

// admission bounds the jobs that are held in memory.
type admission struct {
	room  queue.Room
	gauge *prometheus.GaugeVec               // of the jobs held, by lane
	freed [len(decision.Lanes)]chan struct{} // closed when the lane has room again; nil: nobody waits
}

func newAdmission(o *Options) admission {
	return admission{room: queue.NewRoom(o.MaxPending, o.MaxBytes), gauge: o.Metrics.Pending}
}

// enter adds a job to the count if its lane has room. If not, freed is closed
// when it is worth trying again.
func (a *admission) enter(j *job) (freed <-chan struct{}, ok bool) {
	if a.room.Enter(j.Lane, j.size) {
		a.show(j.Lane)
		return nil, true
	}
	if a.freed[j.Lane] == nil {
		a.freed[j.Lane] = make(chan struct{})
	}
	return a.freed[j.Lane], false
}

// leave removes a job from the count.
func (a *admission) leave(j *job) {
	a.room.Leave(j.Lane, j.size)
	a.show(j.Lane)
	if freed := a.freed[j.Lane]; freed != nil {
		close(freed)
		a.freed[j.Lane] = nil
	}
}

func (a *admission) show(lane decision.Lane) {
	a.gauge.WithLabelValues(lane.String()).Set(float64(a.room.Items(lane)))
}
