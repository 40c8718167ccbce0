package processor

import (
	"context"
	"sync"
	"time"

	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/processor/health"
	"verdict/processor/profile"
	"verdict/processor/queue"
	"verdict/processor/resolve"
)

// owner has the machines. It feeds them events, one at a time, and then does what these
// ask for. Nobody else reads or changes them.
type owner struct {
	dispatch chan struct{}                      // size 1; full: the dispatcher will look anyway
	review   chan struct{}                      // the same for the reviewer; nil: there is none
	whoAmI   chan struct{}                      // the same for outages
	park     [len(decision.Lanes)]chan struct{} // the same for the parker of a lane
	ordered  chan struct{}                      // the same for the orderer

	mu sync.Mutex
	m  machines
}

// machines are what decides, and what is counted of the decisions on their way. Only the
// event that is running has them; it must be short, and wait for nothing.
type machines struct {
	opts *Options

	ended      map[string]*ended // of batches that stop by themselves
	orders     ledger.Orders     // what people want
	ledgerLost bool
	cancelling []*job // out of the queue, and to be settled as cancelled

	queue       *queue.Queue
	share       queue.Share
	parking     *queue.Parking[parked]
	admission   admission
	health      *health.Health
	guard       *health.Guard
	foreignSaid bool // the log says that this outage is one of foreign answers
	claims      claims
	idReuse     sampler // of the warning
	refusals    sampler // of the error, of records that are too large
	lists       resolve.Memory
	listing     map[string]*pendingList // calls for lists that are under way, by profile
	reviewFault string                  // of the latest review, so that it is logged when it changes
	reviews     *profile.Reviews[heldResult]
	reviewCalls map[*profile.Review[heldResult]]context.CancelFunc // of the review calls under way
	pauses      pauses
	load        load

	wants wants
}

// wants is what an event asks for, once it is over.
type wants struct {
	dispatch, review, whoAmI, ordered bool // wake them
	park                              [len(decision.Lanes)]bool
	log                               []func() // write these lines
}

// say has a line logged once the event is over.
func (m *machines) say(line func()) { m.wants.log = append(m.wants.log, line) }

func newOwner(o *Options) *owner {
	own := &owner{
		dispatch: make(chan struct{}, 1),
		whoAmI:   make(chan struct{}, 1),
		ordered:  make(chan struct{}, 1),
		m: machines{
			opts:        o,
			queue:       queue.New(o.ProfileOutcome),
			share:       queue.NewShare(o.BackfillMinShare),
			admission:   newAdmission(o),
			health:      health.New(!o.WithoutWhoAmI),
			guard:       health.NewGuard(o.Guard),
			claims:      make(claims),
			lists:       resolve.NewMemory(),
			listing:     make(map[string]*pendingList),
			reviews:     profile.New[heldResult](),
			reviewCalls: make(map[*profile.Review[heldResult]]context.CancelFunc),
			pauses:      newPauses(o.Metrics),
			load:        load{gauge: o.Metrics.InFlight},
		},
	}
	own.m.parking = queue.NewParking(parkingShare(o.MaxPending), parked.arrivedBefore, own.m.waits)
	if o.ProfileOutcome {
		own.review = make(chan struct{}, 1)
	}
	for lane := range own.park {
		own.park[lane] = make(chan struct{}, 1)
	}
	return own
}

// do runs an event, and then does what it asked for.
func (o *owner) do(event func(m *machines, now time.Time)) {
	w := o.alone(event)
	for _, line := range w.log {
		line()
	}
	for lane, wanted := range w.park {
		notify(o.park[lane], wanted)
	}
	notify(o.review, w.review)
	notify(o.whoAmI, w.whoAmI)
	notify(o.ordered, w.ordered)
	notify(o.dispatch, w.dispatch)
}

func (o *owner) alone(event func(m *machines, now time.Time)) (w wants) {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer func() { w, o.m.wants = o.m.wants, wants{} }()
	event(&o.m, time.Now())
	return w
}

// notify fills a channel of size 1.
func notify(c chan struct{}, wanted bool) {
	if !wanted {
		return
	}
	select {
	case c <- struct{}{}:
	default:
	}
}
