package broker

import (
	"context"
	"slices"
	"sync"
)

// queue holds items between goroutines that push and one that takes. The
// publisher's MaxPendingBytes bounds it.
type queue struct {
	mu    sync.Mutex
	items []*item
	// ready holds a token when items may have arrived in an empty queue. A token
	// without items is harmless; items without a token would stay forever while
	// the taker waits.
	ready chan struct{}
}

func newQueue() *queue {
	return &queue{ready: make(chan struct{}, 1)}
}

// push adds items at the end.
func (q *queue) push(items ...*item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = append(q.items, items...)
	q.signal()
}

// pushFront puts items back at the front.
func (q *queue) pushFront(items []*item) {
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

// wait waits for items. It returns false if ctx has ended.
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
		q.items = nil // so that the batch can be freed when it is done
	}
	return batch
}
