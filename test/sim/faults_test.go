package sim_test

import (
	"bytes"
	"encoding/binary"
	"maps"
	"net/http"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
	"verdict/test/fixture"
)

// faultOf returns how a call fails at present: as the faults in force say, or else as
// its task always does.
func (w *world) faultOf(c sandbox.Call) sandbox.Fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	of := w.kinds[decision.NewTask(c.ProfileID, c.TaskID)]
	for k, n := range w.active[:kafkaLeaders] {
		if n > 0 && w.hits(faultKind(k), c) {
			f := apiFaults[faultKind(k)]
			f.Act = f.Act && of == good
			return f
		}
	}
	switch of {
	case poison:
		if c.Operation == passfort.OpComplete {
			return sandbox.Fault{Do: sandbox.Answer, Status: 500}
		}
	case missing:
		if !w.found {
			return sandbox.Refusal(http.StatusNotFound)
		}
	case good, hostile, broken, nothing:
	}
	return sandbox.Fault{}
}

// apiFaults are how calls fail while a fault of the API is in force.
var apiFaults = map[faultKind]sandbox.Fault{
	apiServerError:  {Do: sandbox.Answer, Status: 500},
	apiUnavailable:  {Do: sandbox.Answer, Status: 503},
	apiThrottled:    {Do: sandbox.Answer, Status: 429, Header: http.Header{"Retry-After": {"3"}}},
	apiThrottledNow: {Do: sandbox.Answer, Status: 429},
	apiHangs:        {Do: sandbox.Hang},
	apiCut:          {Do: sandbox.Cut},
	apiActsAndCuts:  {Do: sandbox.Cut, Act: true},
	apiPage:         {Do: sandbox.Answer, Status: 200, Body: "<!DOCTYPE html><title>Back soon</title>"},
	apiRedirect:     {Do: sandbox.Answer, Status: 302, Header: http.Header{"Location": {"https://login.example/"}}},
	apiShare:        {Do: sandbox.Answer, Status: 500},
	apiCompletions:  {Do: sandbox.Answer, Status: 502},
	apiWhoAmI:       {Do: sandbox.Answer, Status: 500},
	apiKey:          {Do: sandbox.Answer, Status: 401},
}

// hits reports whether a fault of the API that is in force is one of this call. Under mu.
func (w *world) hits(k faultKind, c sandbox.Call) bool {
	switch {
	case k == apiShare:
		w.drawn++
		return w.drawn*0x9e3779b97f4a7c15>>32%10 < 3
	case k == apiCompletions:
		return c.Operation == passfort.OpComplete
	case k == apiWhoAmI:
		return c.Operation == passfort.OpWhoAmI
	}
	return true
}

// begin lets a fault happen, until the end of its span where it has one.
func (w *world) begin(f fault) {
	if f.kind < kafkaLeaders || f.kind == kafkaEnds {
		w.mu.Lock()
		w.active[f.kind]++
		w.mu.Unlock()
		return
	}
	n := f.pick % max(len(w.members), 1)
	topic := w.topicOf(f.lane())
	inject := func(api embedded.API, topic string, code kafka.Error) {
		w.kafka.Inject(embedded.Fault{API: api, Topic: topic, Code: int(code), Times: 1 + f.pick%5})
	}
	map[faultKind]func(){
		kafkaLeaders:      w.kafka.MoveLeaders,
		kafkaCoordinators: w.kafka.MoveCoordinators,
		kafkaProduce:      func() { inject(embedded.Produce, w.cfg.Kafka.Topics.Results, kafka.NotEnoughReplicas) },
		kafkaLate:         func() { inject(embedded.Produce, w.cfg.Kafka.Topics.Results, kafka.RequestTimedOut) },
		kafkaCommit:       func() { inject(embedded.OffsetCommit, "", kafka.NotCoordinatorForGroup) },
		kafkaAway: func() {
			for _, m := range w.members {
				m.kafka.Cut()
			}
		},
		kafkaGrows: func() {
			if !w.away[topic] {
				w.parts[topic] += 2
				fixture.AddPartitions(w.t, w.kafka, w.network, topic, w.parts[topic])
			}
		},
		kafkaRetains: w.retain,
		kafkaRemakes: func() {
			w.deleteTopic(topic)
			if f.span == 0 {
				w.end(f)
			}
		},
		sendsCommit: func() { w.openTransaction(f.n) },
		sendsAbort:  func() { w.openTransaction(f.n) },
		memberJoins: func() {
			if len(w.members) < 4 {
				w.join()
			}
		},
		memberLeaves:  func() { w.leave(n) },
		memberCrashes: func() { w.crash(n) },
		memberCutOff:  func() { w.members[n].kafka.Cut() },
		peopleRedrive: w.redrive,
	}[f.kind]()
	if len(w.members) == 0 {
		w.join()
	}
}

// end ends a fault.
func (w *world) end(f fault) {
	switch {
	case f.kind < kafkaLeaders || f.kind == kafkaEnds:
		w.mu.Lock()
		w.active[f.kind]--
		w.mu.Unlock()
	case f.kind == kafkaRemakes:
		topic := w.topicOf(f.lane())
		if err := w.kafka.CreateTopic(topic, w.parts[topic], nil); err != nil {
			w.t.Fatal(err)
		}
		delete(w.away, topic)
		w.remade[topic] = w.began.Add(f.resumes())
	case f.kind == sendsCommit || f.kind == sendsAbort:
		w.endTransaction(f.n, f.kind == sendsCommit)
	case f.kind == kafkaAway || f.kind == memberCutOff:
		for _, m := range w.members {
			m.kafka.Mend()
		}
	}
}

// retain deletes what the group has committed.
func (w *world) retain() {
	for topic, n := range w.parts {
		for p := range n {
			if committed, _, ok := w.kafka.Committed(w.cfg.Kafka.GroupID, topic, p); ok && !w.away[topic] {
				// A topic that was made again may end before what was committed of the old one.
				fixture.DeleteRecords(w.t, w.kafka, w.network, topic, p, min(committed, w.kafka.HighWatermark(topic, p)))
			}
		}
	}
}

// deleteTopic deletes a topic, and what is not settled of it.
func (w *world) deleteTopic(topic string) {
	if err := w.kafka.DeleteTopic(topic); err != nil {
		w.t.Fatal(err)
	}
	w.away[topic] = true
	for at, s := range w.sent {
		if at.Topic == topic {
			s.gone = true
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.changed, func(at decision.Position, _ form) bool { return at.Topic == topic })
}

// fetched changes an answer to a fetch as the faults say. It takes a moment, so that time
// goes on where a member fetches the same again and again.
func (w *world) fetched(asked *kmsg.FetchRequest, answer *kmsg.FetchResponse) {
	time.Sleep(time.Millisecond)
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, t := range answer.Topics {
		for j := range t.Partitions {
			p := &t.Partitions[j]
			at := decision.Position{Topic: t.Topic, Partition: int(p.Partition), Offset: asked.Topics[i].Partitions[j].FetchOffset}
			if w.active[kafkaEnds] > 0 && len(p.RecordBatches) > 0 && !w.noted[at] { // the next time it is not the end
				w.noted[at] = true
				p.HighWatermark, p.LastStableOffset = at.Offset, min(at.Offset, p.LastStableOffset)
			}
			p.RecordBatches = w.change(p.RecordBatches, t.Topic, int(p.Partition))
		}
	}
}

// change returns the batches of a partition as brokers give them out. Under mu.
func (w *world) change(batches []byte, topic string, partition int) (changed []byte) {
	const sizeAt, crcAt, countAt, headSize = 8, 17, 57, 61
	for len(batches) > 0 {
		size := sizeAt + 4 + int(binary.BigEndian.Uint32(batches[sizeAt:]))
		b := bytes.Clone(batches[:size])
		batches = batches[size:]
		switch w.changed[decision.Position{Topic: topic, Partition: partition, Offset: int64(binary.BigEndian.Uint64(b))}] {
		case spoiled:
			b[crcAt]++
		case thinned:
			binary.BigEndian.PutUint32(b[countAt:], 1)
			fixture.SetChecksum(b)
		case emptied: // Kafka never compacts the last batch away
			if len(batches) > 0 {
				continue
			}
			b = b[:headSize]
			binary.BigEndian.PutUint32(b[sizeAt:], headSize-sizeAt-4)
			binary.BigEndian.PutUint32(b[countAt:], 0)
			fixture.SetChecksum(b)
		case alone, garbled, torn, escorted:
		}
		changed = append(changed, b...)
	}
	return changed
}
