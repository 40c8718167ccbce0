package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"golang.org/x/sync/semaphore"
)

const (
	// answerTimeout bounds the time that a broker takes for an answer beyond what it was
	// told to wait.
	answerTimeout = 30 * time.Second
	// readAhead bounds the answers of one topic that are in memory at once, in bytes. An
	// answer that is larger goes alone.
	readAhead = 8 << 20
	// maxIdle and idleFor bound the connections that wait for the next fetch: how many of
	// a broker, and for how long.
	maxIdle = 64
	idleFor = time.Minute
	// preferredFor is how long another replica is asked instead of the leader, before the
	// leader is asked again which one it should be.
	preferredFor = 5 * time.Minute
	// oldestFetch and newestFetch are the versions of the request that are spoken. The
	// oldest one is of Kafka 0.11, which has transactions.
	oldestFetch, newestFetch = 4, 11
)

// fetchConns makes fetches, each on a connection of its own, since a broker answers the
// requests of a connection one after the other and holds a fetch until there is something.
// kafka-go's Client can't be used: it unpacks whole batches, whatever they hold.
type fetchConns struct {
	connection *Connection
	frames     sync.Pool // of *[]byte, with room for fetchBytes and a little more

	mu     sync.Mutex
	closed bool
	idle   map[string][]*fetchConn // by address
	topics map[string]*fetchTopic
}

// fetchTopic is what is known of a topic that is read.
type fetchTopic struct {
	memory *semaphore.Weighted // for answers

	mu      sync.Mutex // held over a look-up
	leaders map[int]int32
	brokers map[int32]string // addresses
	asked   time.Time        // when they were looked up
	others  map[int]replica  // that are to be asked instead of the leader
}

type replica struct {
	broker int32
	until  time.Time
}

// fetchConn is one connection to a broker. It has one user at a time.
type fetchConn struct {
	net.Conn
	protocol  *protocol.Conn
	address   string
	version   int16                     // of a fetch
	newest    map[protocol.ApiKey]int16 // versions that the broker speaks
	requests  int32
	idleSince time.Time // zero: it is new
}

func (f *fetchConns) topic(name string) *fetchTopic {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.topics[name]
	if t == nil {
		t = &fetchTopic{memory: semaphore.NewWeighted(readAhead), others: make(map[int]replica)}
		f.topics[name] = t
	}
	return t
}

// fetch makes one fetch. A connection that was idle may have been closed by the broker
// meanwhile; then it tries once more.
func (f *fetchConns) fetch(ctx context.Context, r *FetchRequest) (*fetchAnswer, error) {
	t := f.topic(r.Topic)
	r.rack = f.connection.options.Rack
	for {
		began := time.Now()
		address, isLeader, err := f.addressOf(ctx, t, r)
		if err != nil {
			return nil, err
		}
		conn, err := f.take(ctx, address)
		if err != nil {
			f.forget(t, r, began)
			return nil, err
		}
		reused := !conn.idleSince.IsZero() // read now: with its answer it has another user
		answer, err := f.exchange(ctx, conn, t, r)
		switch {
		case err == nil && answer.preferred >= 0:
			// It has no records then.
			f.prefer(t, r, answer.preferred)
			answer.release()
			continue
		case err == nil:
			return answer, nil
		case !isLeader && errors.Is(err, kafka.OffsetOutOfRange):
			// Only the leader knows. Without a rack it names no replica again.
			f.forget(t, r, began)
			r.rack = ""
			continue
		case reused && errors.Is(err, io.EOF) && ctx.Err() == nil:
			continue
		}
		f.forget(t, r, began)
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
}

// exchange sends the request and reads the answer. The connection is given back, or closed
// after an error.
func (f *fetchConns) exchange(ctx context.Context, conn *fetchConn, t *fetchTopic, r *FetchRequest) (answer *fetchAnswer, err error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	release := func() {}
	defer func() {
		_, isAnswer := errors.AsType[kafka.Error](err)
		if inTime := stop(); inTime && (err == nil || isAnswer) {
			f.giveBack(conn)
		} else {
			conn.Close()
		}
		if err != nil {
			release()
		}
	}()
	if err := conn.SetDeadline(time.Now().Add(fetchWait + answerTimeout)); err != nil {
		return nil, err
	}
	conn.requests++
	if err := protocol.WriteRequest(conn, conn.version, conn.requests, f.connection.options.ClientID, f.request(r)); err != nil {
		return nil, err
	}
	var head [8]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, err
	}
	size, id := int32(binary.BigEndian.Uint32(head[:])), int32(binary.BigEndian.Uint32(head[4:]))
	if size -= 4; size < 0 || size > maxAnswer || id != conn.requests {
		return nil, fmt.Errorf("%w: it has %d bytes and the number %d of %d", errAnswer, size, id, conn.requests)
	}
	// The answer waits in the socket until there is room for it.
	weight := min(int64(size), readAhead)
	if err := t.memory.Acquire(ctx, weight); err != nil {
		return nil, err
	}
	frame := f.frames.Get().(*[]byte)
	release = func() {
		t.memory.Release(weight)
		if cap(*frame) <= 2*fetchBytes {
			f.frames.Put(frame)
		}
	}
	if cap(*frame) < int(size) {
		*frame = make([]byte, size)
	}
	body := (*frame)[:size]
	if err := conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return nil, err
	}
	if ctx.Err() != nil { // whose end set a deadline that was just taken back
		return nil, ctx.Err()
	}
	if _, err := io.ReadFull(conn, body); err != nil {
		return nil, noEOF(err)
	}
	answer, err = parseAnswer(body, conn.version, r)
	if err == nil {
		answer.release = release
	}
	return answer, err
}

// noEOF tells an answer that was cut off from a connection that was closed before.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (f *fetchConns) request(r *FetchRequest) *fetch.Request {
	const readCommitted = 1
	return &fetch.Request{
		// The one partition has the bound. kfake would name no aborted transactions in an
		// answer that the bound of the whole request cut.
		ReplicaID: -1, MaxWaitTime: int32(fetchWait.Milliseconds()), MinBytes: 1, MaxBytes: math.MaxInt32, IsolationLevel: readCommitted,
		SessionEpoch: -1, // no session
		RackID:       r.rack,
		Topics: []fetch.RequestTopic{{Topic: r.Topic, Partitions: []fetch.RequestPartition{{
			Partition: int32(r.Partition), CurrentLeaderEpoch: -1, FetchOffset: r.Offset, LogStartOffset: -1, PartitionMaxBytes: r.bytesOf(),
		}}}},
	}
}

// addressOf returns the broker that gives out a partition: its leader, or the replica that
// the leader named.
func (f *fetchConns) addressOf(ctx context.Context, t *fetchTopic, r *FetchRequest) (address string, isLeader bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.leaders == nil {
		if err := f.lookUp(ctx, t, r.Topic); err != nil {
			return "", false, err
		}
	}
	broker, ok := t.leaders[r.Partition]
	switch {
	case !ok:
		t.leaders = nil
		return "", false, kafka.UnknownTopicOrPartition
	case broker < 0:
		t.leaders = nil
		return "", false, kafka.LeaderNotAvailable
	}
	if other := t.others[r.Partition]; time.Now().Before(other.until) {
		return t.brokers[other.broker], false, nil
	}
	return t.brokers[broker], true, nil
}

// forget has a topic's leaders looked up again after a fetch that failed, unless they were
// since it began.
func (f *fetchConns) forget(t *fetchTopic, r *FetchRequest, began time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.others, r.Partition)
	if !t.asked.After(began) {
		t.leaders = nil
	}
}

func (f *fetchConns) prefer(t *fetchTopic, r *FetchRequest, broker int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.brokers[broker]; known {
		t.others[r.Partition] = replica{broker, time.Now().Add(preferredFor)}
	} else {
		delete(t.others, r.Partition)
		t.leaders = nil
	}
}

// lookUp asks a broker for the topic's leaders: one that is known, or else one of those
// that the connection was made with. The caller holds t.mu.
func (f *fetchConns) lookUp(ctx context.Context, t *fetchTopic, topic string) error {
	var failed error
	for _, address := range append(slices.Collect(maps.Values(t.brokers)), f.connection.options.Brokers...) {
		answer, err := f.ask(ctx, address, topic)
		if err == nil {
			t.asked = time.Now()
			return t.learn(answer, topic)
		}
		if failed = err; ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return failed
}

func (f *fetchConns) ask(ctx context.Context, address, topic string) (answer *metadata.Response, err error) {
	err = f.use(ctx, address, func(conn *fetchConn) error {
		message, err := conn.protocol.RoundTrip(&metadata.Request{TopicNames: []string{topic}})
		if err == nil {
			answer = message.(*metadata.Response)
		}
		return err
	})
	return answer, err
}

// use lets do make one request on a connection to a broker, and read its answer, which
// takes at most answerTimeout.
func (f *fetchConns) use(ctx context.Context, address string, do func(conn *fetchConn) error) error {
	conn, err := f.take(ctx, address)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err = conn.SetDeadline(time.Now().Add(answerTimeout))
	if err == nil {
		err = do(conn)
	}
	if inTime := stop(); err != nil || !inTime {
		conn.Close()
		return errors.Join(err, ctx.Err())
	}
	f.giveBack(conn)
	return nil
}

// learn takes over what a broker says of a topic.
func (t *fetchTopic) learn(answer *metadata.Response, topic string) error {
	brokers := make(map[int32]string, len(answer.Brokers))
	for _, b := range answer.Brokers {
		brokers[b.NodeID] = net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
	}
	for _, found := range answer.Topics {
		if found.Name != topic {
			continue
		}
		if found.ErrorCode != 0 {
			return kafka.Error(found.ErrorCode)
		}
		t.brokers, t.leaders = brokers, make(map[int]int32, len(found.Partitions))
		for _, p := range found.Partitions {
			leader := p.LeaderID
			if _, known := brokers[leader]; !known {
				leader = -1
			}
			t.leaders[int(p.PartitionIndex)] = leader
		}
		return nil
	}
	return kafka.UnknownTopicOrPartition
}

// take returns an idle connection to a broker, or a new one.
func (f *fetchConns) take(ctx context.Context, address string) (*fetchConn, error) {
	f.mu.Lock()
	for {
		n := len(f.idle[address]) - 1
		if n < 0 {
			break
		}
		conn := f.idle[address][n]
		f.idle[address] = f.idle[address][:n]
		if time.Since(conn.idleSince) < idleFor {
			f.mu.Unlock()
			return conn, nil
		}
		conn.Close()
	}
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, f.connection.options.DialTimeout)
	defer cancel()
	conn, newest, at, err := f.connection.open(ctx, address)
	if err != nil {
		if ctx.Err() != nil && at == stepDial {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	version := newest[protocol.Fetch]
	if version < oldestFetch {
		conn.Close()
		return nil, fmt.Errorf("connect to %s: the broker's fetch is of version %d; Kafka 0.11 has version %d", address, version, oldestFetch)
	}
	return &fetchConn{Conn: conn.socket, protocol: conn.protocol, address: address, version: min(version, newestFetch), newest: newest}, nil
}

// giveBack lets the next fetch use a connection.
func (f *fetchConns) giveBack(conn *fetchConn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || len(f.idle[conn.address]) >= maxIdle {
		conn.Close()
		return
	}
	conn.idleSince = time.Now()
	f.idle[conn.address] = append(f.idle[conn.address], conn)
}

// close closes the idle connections. Fetches under way close theirs, once they fail.
func (f *fetchConns) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for _, conns := range f.idle {
		for _, conn := range conns {
			conn.Close()
		}
	}
	f.idle = nil
}
