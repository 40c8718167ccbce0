package broker

import (
	"context"
	"slices"
	"sync"
)

// queue holds items between goroutines that push and one that takes. Its bound
// is the publisher's MaxPendingBytes.
type queue struct {
	mu    sync.Mutex
	items []*item
	// ready holds a token when items may have come to an empty queue. A token
	// without items is harmless; items without a token, while the taker
	// waits, would stay for ever.
	ready chan struct{}
}

func newQueue() *queue {
	return &queue{ready: make(chan struct{}, 1)}
}

// push adds items behind those that are there.
func (q *queue) push(items ...*item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = append(q.items, items...)
	q.signal()
}

// unpush puts items back before those that are there.
func (q *queue) unpush(items []*item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = slices.Concat(items, q.items)
	q.signal()
}

func (q *queue) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// wait waits for items and says whether there may be some: not if ctx has
// ended.
func (q *queue) wait(ctx context.Context) bool {
	select {
	case <-q.ready:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// takeAll takes every item.
func (q *queue) takeAll() []*item {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items = nil
	return items
}

// takeBatch takes the items at the front that fit into one request; the first
// always does.
func (q *queue) takeBatch(maxRecords, maxBytes int) []*item {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, bytes := 0, batchOverhead
	for n < min(len(q.items), maxRecords) {
		bytes += q.items[n].size
		if n > 0 && bytes > maxBytes {
			break
		}
		n++
	}
	batch := q.items[:n:n]
	q.items = q.items[n:]
	if len(q.items) == 0 {
		q.items = nil // lets go of the batch when it is done
	}
	return batch
}
