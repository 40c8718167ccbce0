package verify

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"verdict/internal/decision"
)

// expectation is the state in which a decision left its task.
type expectation struct {
	task   decision.Task
	state  decision.State
	id     string // of the decision
	origin decision.Position
	at     time.Time // when it was completed
}

// later reports whether a decision on the same task came after another.
func (e *expectation) later(than *expectation) bool {
	if e.origin.Topic == than.origin.Topic && e.origin.Partition == than.origin.Partition {
		return e.origin.Offset > than.origin.Offset
	}
	return e.at.After(than.at)
}

// expectations are those of a batch, in the order of their tasks' hashes. They are in a
// file; memory holds where, by hash.
type expectations struct {
	file   *os.File
	out    *bufio.Writer
	size   int64 // of the file
	index  []indexed
	topics []string // by their number in the file
	tasks  int64    // different hashes
}

// indexed is where an expectation is, by the hash of its task.
type indexed struct {
	hash uint64
	at   int64
}

const (
	// headSize is the size in the file of all but the decision's ID: profile, task, topic,
	// state, size of the ID, partition, offset, time.
	headSize = 16 + 16 + 1 + 1 + 2 + 4 + 8 + 8
	// maxID bounds what is kept of a decision's ID, in bytes.
	maxID = 4 * decision.MaxIDLength
)

// states are those that a decision can ask for, by their number in the file.
var states = []decision.State{decision.CompletedPass, decision.CompletedFail}

// newExpectations opens the file, which has no name: it is gone when it is closed.
func newExpectations(dir string) (*expectations, error) {
	f, err := os.CreateTemp(dir, "verdict-verify-")
	if err != nil {
		return nil, fmt.Errorf("create a temporary file (TMPDIR sets its folder): %w", err)
	}
	_ = os.Remove(f.Name()) // some systems can't; it stays behind there
	return &expectations{file: f, out: bufio.NewWriterSize(f, 64<<10)}, nil
}

func (e *expectations) close() { e.file.Close() }

// add adds the result of a decision that was carried out.
func (e *expectations) add(r *decision.Result) error {
	state, topic := slices.Index(states, r.State), slices.Index(e.topics, r.Origin.Topic)
	if topic < 0 {
		topic = len(e.topics)
		e.topics = append(e.topics, r.Origin.Topic)
	}
	if state < 0 || topic > 255 {
		return fmt.Errorf("the result of %v expects the state %q, which no decision can", r.Origin, decision.OneLine(string(r.State), 50))
	}
	task := decision.NewTask(r.ProfileID, r.TaskID)
	id := decision.OneLine(r.DecisionID, maxID)
	b := make([]byte, 0, headSize+len(id))
	b = append(b, packID(task.ProfileID)...)
	b = append(b, packID(task.TaskID)...)
	b = append(b, byte(topic), byte(state))
	b = binary.BigEndian.AppendUint16(b, uint16(len(id)))
	b = binary.BigEndian.AppendUint32(b, uint32(r.Origin.Partition))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Origin.Offset))
	b = binary.BigEndian.AppendUint64(b, uint64(r.CompletedAt.UnixMilli()))
	b = append(b, id...)
	if _, err := e.out.Write(b); err != nil {
		return fmt.Errorf("write a temporary file: %w", err)
	}
	e.index = append(e.index, indexed{hashOf(task), e.size})
	e.size += int64(len(b))
	return nil
}

// sort ends the adding.
func (e *expectations) sort() error {
	if err := e.out.Flush(); err != nil {
		return fmt.Errorf("write a temporary file: %w", err)
	}
	slices.SortFunc(e.index, func(a, b indexed) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.at, b.at))
	})
	for i := range e.index {
		if i == 0 || e.index[i].hash != e.index[i-1].hash {
			e.tasks++
		}
	}
	return nil
}

// at returns what is expected of the tasks whose hash is the one at i, usually one, and the
// index of the next hash.
func (e *expectations) at(i int) (tasks []expectation, next int, err error) {
	hash := e.index[i].hash
	for next = i; next < len(e.index) && e.index[next].hash == hash; next++ {
		one, err := e.read(e.index[next].at)
		if err != nil {
			return nil, 0, err
		}
		same := slices.IndexFunc(tasks, func(t expectation) bool { return t.task == one.task })
		switch {
		case same < 0:
			tasks = append(tasks, one)
		case one.later(&tasks[same]):
			tasks[same] = one
		}
	}
	slices.SortFunc(tasks, func(a, b expectation) int {
		return cmp.Or(strings.Compare(a.task.ProfileID, b.task.ProfileID), strings.Compare(a.task.TaskID, b.task.TaskID))
	})
	return tasks, next, nil
}

func (e *expectations) read(at int64) (expectation, error) {
	b := make([]byte, headSize, headSize+maxID)
	if _, err := e.file.ReadAt(b, at); err != nil {
		return expectation{}, fmt.Errorf("read a temporary file: %w", err)
	}
	b = b[:headSize+int(binary.BigEndian.Uint16(b[34:]))]
	if _, err := e.file.ReadAt(b[headSize:], at+headSize); err != nil {
		return expectation{}, fmt.Errorf("read a temporary file: %w", err)
	}
	return expectation{
		task: decision.Task{ProfileID: unpackID(b), TaskID: unpackID(b[16:])}, state: states[b[33]], id: string(b[headSize:]),
		origin: decision.Position{
			Topic: e.topics[b[32]], Partition: int(binary.BigEndian.Uint32(b[36:])), Offset: int64(binary.BigEndian.Uint64(b[40:])),
		},
		at: time.UnixMilli(int64(binary.BigEndian.Uint64(b[48:]))),
	}, nil
}

// hashOf returns the place of a task in the order of verification.
func hashOf(t decision.Task) uint64 {
	sum := sha256.Sum256([]byte(t.ProfileID + "/" + t.TaskID))
	return binary.BigEndian.Uint64(sum[:])
}

// packID returns the 16 bytes of a valid ID.
func packID(id string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	if err != nil {
		panic(err) // decision.ParseResult has checked it
	}
	return b
}

// unpackID returns the ID of 16 bytes.
func unpackID(b []byte) string {
	s := hex.EncodeToString(b[:16])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
