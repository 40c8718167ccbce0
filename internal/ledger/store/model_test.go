package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"verdict/internal/broker"
	"verdict/internal/bulk/bulktest"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

// Machines send the same rows one after the other and at the same time. They are killed,
// stand still, lose requests and answers, and take over from each other. Every row is
// there once in the end, and the ledger has counted it.
func TestRowsAreWrittenOnceWhateverHappens(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			bulktest.InKafka(t, func(b *bulktest.Kafka) { playMachines(b, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

const (
	modelRows     = 60
	modelMachines = 3
)

func playMachines(b *bulktest.Kafka, random *rand.Rand) {
	var running sync.WaitGroup
	for m := range modelMachines {
		own := rand.New(rand.NewPCG(random.Uint64(), 1))
		running.Go(func() {
			for life := range 4 { // each ends in some way, and the next begins some time later
				time.Sleep(time.Duration(own.IntN(20_000)) * time.Millisecond)
				ctx, killed := context.WithTimeout(b.Context(), time.Duration(own.IntN(200_000))*time.Millisecond)
				send(ctx, b, fmt.Sprintf("m%d-%d", m, life), own, 0.08)
				killed()
			}
		})
	}
	running.Wait()
	if err := send(b.Context(), b, "last", random, 0); err != nil {
		b.Fatal(err)
	}
	seen := make(map[string]int)
	for _, rec := range b.All(bulktest.BackfillTopic) {
		seen[string(rec.Key)]++
	}
	for row := int64(1); row <= modelRows; row++ {
		if n := seen[string(step(row).Rows[0].Key)]; n != 1 {
			b.Errorf("row %d is there %d times", row, n)
		}
	}
	state, err := store.Read(b.Context(), by(b, "reader"), nil)
	if err != nil {
		b.Fatal(err)
	}
	if e, _ := state.Batch("spring"); e.Batch == nil || e.Batch.Done != modelRows {
		b.Errorf("the ledger says %+v", e.Batch)
	}
}

// send is what a run does: it takes the batch over and writes the rows that are missing,
// on a network that fails with this probability. A run that is killed closes nothing of its
// own accord.
func send(ctx context.Context, b *bulktest.Kafka, run string, random *rand.Rand, faults float64) error {
	network := &faulty{dial: b.Network.DialContext, random: rand.New(rand.NewPCG(random.Uint64(), 2)), faults: faults}
	conn, err := broker.NewConnection(broker.Options{Brokers: b.Cluster.Addrs(), DialFunc: network.DialContext})
	if err != nil {
		return err
	}
	defer conn.Close()
	o := by(b, run)
	o.Connection = conn
	w, err := store.Open(ctx, o, ledger.BatchKey("spring"))
	for err == nil && done(w) < modelRows {
		next := step(done(w) + 1)
		if random.IntN(2) == 0 && done(w)+2 <= modelRows { // several rows at once
			second := step(done(w) + 2)
			next.Rows = append(next.Rows, second.Rows...)
			next.Entries = second.Entries
		}
		_, err = w.Write(ctx, next)
		if err == nil {
			time.Sleep(time.Duration(random.IntN(2000)) * time.Millisecond)
			continue
		}
		if e, ok := w.State().Batch("spring"); ok && e.Run != run {
			return err // it has written nothing yet, so it is somebody else's
		}
		err = w.Recover(ctx)
	}
	return err
}

// faulty is a network that loses requests and answers, and stands still now and then.
type faulty struct {
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	mu     sync.Mutex
	random *rand.Rand
	faults float64
}

func (f *faulty) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := f.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &faultyConn{Conn: conn, of: f}, nil
}

var errLost = errors.New("the connection was lost")

type faultyConn struct {
	net.Conn
	of *faulty
}

// Write sends a request, or part of one, unless something happens.
func (c *faultyConn) Write(p []byte) (int, error) {
	c.of.mu.Lock()
	happens, what, wait := c.of.random.Float64() < c.of.faults, c.of.random.IntN(4), time.Duration(c.of.random.IntN(100_000))*time.Millisecond
	c.of.mu.Unlock()
	if !happens {
		return c.Conn.Write(p)
	}
	switch what {
	case 0: // the request is lost
		c.Conn.Close()
		return 0, errLost
	case 1: // the answer is lost
		n, err := c.Conn.Write(p)
		time.Sleep(100 * time.Millisecond)
		c.Conn.Close()
		return n, err
	default: // the machine stands still
		time.Sleep(wait)
		return c.Conn.Write(p)
	}
}
